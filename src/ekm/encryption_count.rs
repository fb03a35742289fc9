//! Where the ciphertexts that a device makes under one key are counted.

use std::fmt;

/// Counts the encryptions under one key. With random IVs a key must not encrypt more than 2^32 times (NIST SP 800-38D section 8.3): what counts
/// is what the device has done, not what was sent to KMS.
pub trait EncryptionCount: fmt::Debug + Send + Sync {
    /// Counts one ciphertext. A device calls this once for each ciphertext that it made under the key, whatever becomes of it.
    fn count(&self);
}

/// Counts nothing: for keys that no key store uses, such as the key of the audit trail.
#[derive(Debug)]
pub struct Uncounted;

impl EncryptionCount for Uncounted {
    fn count(&self) {}
}
