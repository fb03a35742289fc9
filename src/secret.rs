//! Secret values: credentials, PINs, plaintext.
//!
//! # Invariants
//! - A secret is wiped from memory when it is dropped. Copies in buffers of other libraries are wiped when they are freed, because the binary's allocator
//!   wipes every block (`src/main.rs`).
//! - `Debug` shows neither the value nor its length.
//! - Only [`Secret::expose`] and [`SecretBytes::expose`] return the value, so `grep expose` lists every use.
//! - There is no `PartialEq`: secrets are compared with [`constant_time_eq`] only.

pub mod text;

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

/// A secret text: a secret access key or a PIN.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps `value`, which is wiped when the secret is dropped.
    pub fn new(value: String) -> Self {
        Self(Zeroizing::new(value))
    }

    /// Returns the secret text.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Returns whether both secrets are equal, in a time that depends only on their lengths.
    pub fn is_same(&self, other: &Self) -> bool {
        constant_time_eq(self.0.as_bytes(), other.0.as_bytes())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Secret bytes: plaintext, a request body, a derived key.
#[derive(Clone, Default)]
pub struct SecretBytes(Zeroizing<Vec<u8>>);

impl SecretBytes {
    /// Wraps `value`, which is wiped when the secret is dropped.
    pub fn new(value: Vec<u8>) -> Self {
        Self(Zeroizing::new(value))
    }

    /// Creates an empty value with space for `capacity` bytes. [`SecretBytes::append`] wipes the old buffer when it needs more space.
    pub fn with_capacity(capacity: usize) -> Self {
        Self::new(Vec::with_capacity(capacity))
    }

    /// Returns the secret bytes.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Returns the number of bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Appends `more`. If the buffer has to grow, the old buffer is wiped after the copy.
    pub fn append(&mut self, more: &[u8]) {
        let needed = self.0.len().saturating_add(more.len());
        if needed > self.0.capacity() {
            let mut grown = Vec::with_capacity(needed.next_power_of_two());
            grown.extend_from_slice(&self.0);
            std::mem::replace(&mut *self.0, grown).zeroize();
        }
        self.0.extend_from_slice(more);
    }
}

impl From<Vec<u8>> for SecretBytes {
    fn from(value: Vec<u8>) -> Self {
        Self::new(value)
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes(…)")
    }
}

/// Returns whether two byte strings are equal, in a time that depends only on their lengths.
pub fn constant_time_eq(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing() {
        let secret = Secret::new("hunter2hunter2".into());
        let bytes = SecretBytes::new(b"hunter2".to_vec());
        assert_eq!(format!("{secret:?} {bytes:?}"), "Secret(…) SecretBytes(…)");
    }

    #[test]
    fn append_keeps_the_bytes_when_the_buffer_grows() {
        let mut bytes = SecretBytes::with_capacity(2);
        for chunk in [&b"ab"[..], b"cdefg", b"", b"h"] {
            bytes.append(chunk);
        }
        assert_eq!(bytes.expose(), b"abcdefgh");
        assert_eq!(bytes.len(), 8);
        assert!(!bytes.is_empty());
    }

    #[test]
    fn secrets_are_compared_by_value() {
        let secret = |text: &str| Secret::new(text.into());
        assert!(secret("hunter2").is_same(&secret("hunter2")));
        assert!(!secret("hunter2").is_same(&secret("hunter3")));
    }

    #[test]
    fn constant_time_eq_compares_whole_values() {
        assert!(constant_time_eq(b"same", b"same"));
        assert!(!constant_time_eq(b"same", b"sama"));
        assert!(!constant_time_eq(b"same", b"sam"));
    }
}
