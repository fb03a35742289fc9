//! The interface of an external key manager: its operations and its errors.
//!
//! The HSM modules do not know that AWS exists, and the operations do not know PKCS#11. Both know this module only.

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
use crate::secret::SecretBytes;

/// An answer that is being worked on.
pub type Pending<'a, T> =
    Pin<Box<dyn Future<Output = Result<Served<T>, KeyManagerError>> + Send + 'a>>;

/// The length of a GCM tag, in bytes. No other length is ever used.
pub const TAG_LENGTH: usize = 16;

/// A key that the configuration expects on a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedKey {
    /// Which one.
    pub selector: Arc<KeySelector>,
    /// Whether a key store encrypts with it. If not, it must only decrypt: it is an older version.
    pub encrypts: bool,
}

/// On whose behalf a job is done: a device that cannot keep up serves its tenants in turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// By which one tenant is told from another.
    pub name: Arc<str>,
    /// How many jobs of this tenant are done in its turn; at least 1.
    pub share: u32,
}

/// What to encrypt. `aad` is what the device binds, already framed.
#[derive(Clone, Debug)]
pub struct EncryptJob {
    /// For whom.
    pub tenant: Arc<Tenant>,
    /// Under which key.
    pub key: Arc<KeySelector>,
    /// What; possibly nothing.
    pub plaintext: Arc<SecretBytes>,
    /// Additional authenticated data, at least one byte.
    pub aad: Arc<[u8]>,
    /// Whether the key must also be allowed to decrypt (what is made will be verified).
    pub must_decrypt: bool,
    /// Set if the ciphertext must be verified: the digest is computed over it, then it is decrypted and compared with the plaintext. Only
    /// the very buffers that passed are returned.
    pub digest: Option<Digest>,
    /// Until when.
    pub deadline: Deadline,
    /// Counts the calls that the job makes.
    pub calls: CallCount,
    /// Counts the ciphertexts that devices make for it, also those that nobody waits for any more.
    pub encryptions: Arc<dyn EncryptionCount>,
}

/// What to decrypt.
#[derive(Clone, Debug)]
pub struct DecryptJob {
    /// For whom.
    pub tenant: Arc<Tenant>,
    /// Under which key.
    pub key: Arc<KeySelector>,
    /// 12 or 16 bytes.
    pub iv: Vec<u8>,
    /// Ciphertext with the tag behind it.
    pub ciphertext_and_tag: Arc<[u8]>,
    /// Additional authenticated data, at least one byte.
    pub aad: Arc<[u8]>,
    /// What the ciphertext may have been bound to instead; tried only when it does not authenticate with `aad`.
    pub or_aad: Option<Arc<[u8]>>,
    /// Until when.
    pub deadline: Deadline,
    /// Counts the calls that the job makes.
    pub calls: CallCount,
    /// Counts the ciphertexts that a device makes under the key to find out whether the key still works.
    pub encryptions: Arc<dyn EncryptionCount>,
}

/// A ciphertext that was opened.
#[derive(Debug)]
pub struct Opened {
    /// What was encrypted.
    pub plaintext: SecretBytes,
    /// Whether it was bound to [`DecryptJob::or_aad`].
    pub by_or_aad: bool,
}

/// Which key to describe.
#[derive(Clone, Debug)]
pub struct DescribeJob {
    /// For whom.
    pub tenant: Arc<Tenant>,
    /// The key.
    pub key: Arc<KeySelector>,
    /// Until when.
    pub deadline: Deadline,
    /// Counts the calls that the job makes.
    pub calls: CallCount,
}

/// A ciphertext as the device made it.
#[derive(Debug)]
pub struct Sealed {
    /// 12 or 16 bytes.
    pub iv: Vec<u8>,
    /// As long as the plaintext.
    pub ciphertext: Vec<u8>,
    /// The tag.
    pub tag: [u8; TAG_LENGTH],
    /// What [`EncryptJob::digest`] computed, before the ciphertext was verified.
    pub digest: Option<[u8; DIGEST_LENGTH]>,
}

/// What a key is and may do, from its attributes on the device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub struct KeyAttributes {
    /// What kind of key it is.
    pub kind: KeyKind,
    /// What it may do.
    pub usage: KeyUsageFlags,
}

/// The kind of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum KeyKind {
    /// AES, of so many bits.
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
    reason = "they are seven independent attributes of a device's"
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

/// An answer, with who gave it and what it cost.
#[derive(Debug)]
pub struct Served<T> {
    /// The answer.
    pub value: T,
    /// Which device.
    pub device: Arc<str>,
    /// How long the job waited for the device.
    pub queued: Duration,
    /// How long the device worked on it.
    pub worked: Duration,
}

/// What a device is and how it is, as last seen by its own probe.
#[derive(Clone, Debug)]
pub struct DeviceReport {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// Its manufacturer, as it says itself; empty while it has never been reached.
    pub vendor: String,
    /// Product and firmware, as it says itself.
    pub model: String,
    /// Its state.
    pub condition: Condition,
}

/// The state of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// A deep check has just worked.
    Healthy,
    /// It serves, but a check of it does not work.
    Impaired,
    /// It does not serve.
    Down,
}

/// An external key manager: one device that holds keys.
pub trait KeyManager: Send + Sync {
    /// Its name in the configuration.
    fn name(&self) -> &Arc<str>;

    /// Whether a job has a chance with it at the moment. Never blocks.
    fn is_usable(&self) -> bool;

    /// How long a job would take now, as far as it can tell; for the choice between devices. Never blocks.
    fn suspected_wait(&self) -> Duration;

    /// Encrypts with AES-256-GCM under a fresh IV.
    fn encrypt(&self, job: EncryptJob) -> Pending<'_, Sealed>;

    /// Decrypts what [`KeyManager::encrypt`] made.
    fn decrypt(&self, job: DecryptJob) -> Pending<'_, Opened>;

    /// Reads a key's attributes from the device, not from a cache.
    fn describe(&self, job: DescribeJob) -> Pending<'_, KeyAttributes>;

    /// What its last deep check found. Never blocks, never calls the device.
    fn report(&self) -> DeviceReport;

    /// What the device knows of the key; none while it is not open. Never blocks, never calls the device.
    fn key_state(&self, key: &KeySelector) -> Option<KeyState>;
}
