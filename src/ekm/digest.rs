//! A value that is computed over a ciphertext before the ciphertext is verified.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

/// The length of the value, in bytes.
pub const DIGEST_LENGTH: usize = 32;

/// `SHA-256(prefix ‖ IV ‖ ciphertext ‖ tag)`. The prefix defines the use of the value; the HSM does not interpret it. Clones share the prefix.
#[derive(Clone)]
pub struct Digest(Arc<[u8]>);

impl Digest {
    /// Creates a digest with this prefix.
    pub fn new(prefix: Arc<[u8]>) -> Self {
        Self(prefix)
    }

    /// Returns the bytes that are hashed before the ciphertext.
    pub fn prefix(&self) -> &Arc<[u8]> {
        &self.0
    }

    /// Computes the value.
    pub fn of(&self, iv: &[u8], ciphertext: &[u8], tag: &[u8; 16]) -> [u8; DIGEST_LENGTH] {
        Sha256::new()
            .chain_update(&self.0)
            .chain_update(iv)
            .chain_update(ciphertext)
            .chain_update(tag)
            .finalize()
            .into()
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(…)")
    }
}
