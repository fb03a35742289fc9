//! The interface of an external key manager (an HSM): its operations and its errors.
//!
//! The HSM modules do not depend on AWS types, and the operations do not depend on PKCS#11. Both use this module.

mod calls;
mod digest;
mod encryption_count;
mod error;
#[cfg(test)]
pub mod fake;
mod history;
mod key_state;
mod selector;
mod spaced;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use calls::CallCount;
pub use digest::{DIGEST_LENGTH, Digest};
pub use encryption_count::{EncryptionCount, Uncounted};
pub use error::{Blame, KeyManagerError, KeyManagerFault};
pub use history::{History, KeyHistory};
pub use key_state::{KeyCounts, KeyState};
pub use selector::KeySelector;
pub use spaced::SpacedWarning;

use crate::clock::Deadline;
use crate::iv::Iv;
use crate::secret::SecretBytes;

/// The future answer of an HSM.
pub type Pending<'a, T> =
    Pin<Box<dyn Future<Output = Result<Served<T>, KeyManagerError>> + Send + 'a>>;

/// The length of a GCM tag, in bytes. No other length is used.
pub const TAG_LENGTH: usize = 16;

/// A key that the configuration expects on a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedKey {
    /// The key.
    pub selector: Arc<KeySelector>,
    /// True if a key store encrypts with it. An older version only decrypts.
    pub encrypts: bool,
}

/// The tenant of a job. An overloaded HSM serves its tenants by weighted fair queueing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// The unique name of the tenant.
    pub name: Arc<str>,
    /// Its weight: the number of its jobs that are done in one round; at least 1.
    pub share: u32,
}

/// A job that encrypts. `aad` is complete and already framed.
#[derive(Clone, Debug)]
pub struct EncryptJob {
    /// The tenant.
    pub tenant: Arc<Tenant>,
    /// The key.
    pub key: Arc<KeySelector>,
    /// The plaintext; may be empty.
    pub plaintext: Arc<SecretBytes>,
    /// Additional authenticated data, at least one byte.
    pub aad: Bytes,
    /// True if the key must also allow decryption, to verify the ciphertext.
    pub must_decrypt: bool,
    /// Set if the ciphertext must be verified: the digest is computed over it, then it is decrypted and compared with the plaintext. The verified
    /// buffers are returned without a copy.
    pub digest: Option<Digest>,
    /// The deadline.
    pub deadline: Deadline,
    /// The count of HSM calls of the request.
    pub calls: CallCount,
    /// Counts the ciphertexts that HSMs make for the job, including answers that are too late.
    pub encryptions: Arc<dyn EncryptionCount>,
}

/// A job that decrypts.
#[derive(Clone, Debug)]
pub struct DecryptJob {
    /// The tenant.
    pub tenant: Arc<Tenant>,
    /// The key.
    pub key: Arc<KeySelector>,
    /// The IV.
    pub iv: Iv,
    /// The ciphertext, followed by the tag.
    pub ciphertext_and_tag: Bytes,
    /// Additional authenticated data, at least one byte.
    pub aad: Bytes,
    /// Alternative AAD; used only when the ciphertext does not authenticate with `aad`.
    pub or_aad: Option<Bytes>,
    /// The deadline.
    pub deadline: Deadline,
    /// The count of HSM calls of the request.
    pub calls: CallCount,
    /// Counts the ciphertexts that an HSM makes with the key to check whether the key still works.
    pub encryptions: Arc<dyn EncryptionCount>,
}

/// The result of a decryption.
#[derive(Debug)]
pub struct Opened {
    /// The plaintext.
    pub plaintext: SecretBytes,
    /// True if the ciphertext was bound to [`DecryptJob::or_aad`].
    pub by_or_aad: bool,
}

/// A job that reads the attributes of a key.
#[derive(Clone, Debug)]
pub struct DescribeJob {
    /// The tenant.
    pub tenant: Arc<Tenant>,
    /// The key.
    pub key: Arc<KeySelector>,
    /// The deadline.
    pub deadline: Deadline,
    /// The count of HSM calls of the request.
    pub calls: CallCount,
}

/// The result of an encryption.
#[derive(Debug)]
pub struct Encrypted {
    /// The IV.
    pub iv: Iv,
    /// The ciphertext, as long as the plaintext.
    pub ciphertext: Vec<u8>,
    /// The tag.
    pub tag: [u8; TAG_LENGTH],
    /// The value of [`EncryptJob::digest`], computed before the ciphertext was verified.
    pub digest: Option<[u8; DIGEST_LENGTH]>,
}

/// The attributes of a key on the HSM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub struct KeyAttributes {
    /// The kind of the key.
    pub kind: KeyKind,
    /// The operations that it allows.
    pub usage: KeyUsageFlags,
}

/// The kind of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum KeyKind {
    /// AES, with the length in bits.
    Aes(u32),
    /// Another kind, by its name.
    Other(String),
}

/// The usage attributes of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each is the PKCS#11 attribute of its name")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "seven independent attributes of PKCS#11"
)]
pub struct KeyUsageFlags {
    pub encrypt: bool,
    pub decrypt: bool,
    pub sign: bool,
    pub verify: bool,
    pub wrap: bool,
    pub unwrap: bool,
    pub derive: bool,
}

/// An answer with its HSM and its durations.
#[derive(Debug)]
pub struct Served<T> {
    /// The answer.
    pub value: T,
    /// The HSM that answered.
    pub device: Arc<str>,
    /// How long the job waited for the HSM.
    pub queued: Duration,
    /// How long the HSM worked on the job.
    pub worked: Duration,
}

/// A report on an HSM, by its last health check.
#[derive(Clone, Debug)]
pub struct DeviceReport {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// The manufacturer that it reports; empty until it was reached for the first time.
    pub vendor: String,
    /// The product and firmware that it reports.
    pub model: String,
    /// Its state.
    pub condition: Condition,
}

/// The state of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The last deep health check succeeded.
    Healthy,
    /// It serves, but a health check fails.
    Impaired,
    /// It does not serve.
    Down,
}

/// An external key manager: one HSM.
pub trait KeyManager: Send + Sync {
    /// Returns its name in the configuration.
    fn name(&self) -> &Arc<str>;

    /// Returns whether it can do jobs now. Never blocks.
    fn is_usable(&self) -> bool;

    /// Returns the estimated time that a new job takes, for the choice between HSMs. Never blocks.
    fn suspected_wait(&self) -> Duration;

    /// Encrypts with AES-256-GCM under a fresh IV.
    fn encrypt(&self, job: EncryptJob) -> Pending<'_, Encrypted>;

    /// Decrypts what [`KeyManager::encrypt`] made.
    fn decrypt(&self, job: DecryptJob) -> Pending<'_, Opened>;

    /// Reads the attributes of a key from the HSM, not from a cache.
    fn describe(&self, job: DescribeJob) -> Pending<'_, KeyAttributes>;

    /// Returns the result of its last deep health check. Never blocks, never calls the HSM.
    fn report(&self) -> DeviceReport;

    /// Returns the known state of the key on the HSM; none while the HSM is not open. Never blocks, never calls the HSM.
    fn key_state(&self, key: &KeySelector) -> Option<KeyState>;
}
