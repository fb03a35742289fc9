//! A value that is computed over a ciphertext before the ciphertext is verified.

use std::fmt;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::iv::Iv;

/// The length of the value, in bytes.
pub const DIGEST_LENGTH: usize = 32;

/// `SHA-256(prefix ‖ IV ‖ ciphertext ‖ tag)`. The prefix defines the use of the value; the HSM does not interpret it. Clones share the prefix.
#[derive(Clone)]
pub struct Digest(Bytes);

impl Digest {
    /// Creates a digest with this prefix.
    pub fn new(prefix: Bytes) -> Self {
        Self(prefix)
    }

    /// Returns the bytes that are hashed before the ciphertext.
    pub fn prefix(&self) -> &Bytes {
        &self.0
    }

    /// Computes the value.
    pub fn of(&self, iv: &Iv, ciphertext: &[u8], tag: &[u8; 16]) -> [u8; DIGEST_LENGTH] {
        Sha256::new()
            .chain_update(&self.0)
            .chain_update(iv.as_bytes())
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
