//! Counts the ciphertexts that an HSM makes with one key.

use std::fmt;

/// Counts the encryptions with one key. With random IVs a key must not encrypt more than 2^32 times (NIST SP 800-38D section 8.3). Every
/// encryption of the HSM counts, also if its result is not sent to KMS.
pub trait EncryptionCount: fmt::Debug + Send + Sync {
    /// Counts one ciphertext. Called once for each ciphertext that the HSM made with the key, also if it is not used.
    fn count(&self);
}

/// Counts nothing: for keys that no key store uses, such as the key of the audit trail.
#[derive(Debug)]
pub struct Uncounted;

impl EncryptionCount for Uncounted {
    fn count(&self) {}
}
