//! A value that is computed over a ciphertext before the ciphertext is verified.

use std::fmt;
use std::sync::Arc;

use super::Sealed;

/// The length of the value, in bytes.
pub const DIGEST_LENGTH: usize = 32;

type Function = dyn Fn(&Sealed) -> [u8; DIGEST_LENGTH] + Send + Sync;

/// A function of a ciphertext, for a device that does not know what the value is for. Clones are the same function.
#[derive(Clone)]
pub struct Digest(Arc<Function>);

impl Digest {
    /// Wraps the function. It runs on the device's thread: it must be quick and must not block.
    pub fn new(function: impl Fn(&Sealed) -> [u8; DIGEST_LENGTH] + Send + Sync + 'static) -> Self {
        Self(Arc::new(function))
    }

    /// Computes the value.
    pub fn of(&self, sealed: &Sealed) -> [u8; DIGEST_LENGTH] {
        (self.0)(sealed)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(…)")
    }
}
