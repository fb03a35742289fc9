//! Values that must not be seen: credentials, PINs, plaintext.
//!
//! # Invariants
//! - A secret is wiped from memory when it is dropped. Copies in buffers of other libraries are wiped when they are freed: the binary's
//!   allocator wipes every block (`src/main.rs`).
//! - `Debug` never shows a value, nor its length.
//! - The only way to the value is [`Secret::expose`] (or [`SecretBytes::expose`]), so that `grep expose` lists every use.
//! - There is no `PartialEq`: comparing secrets is [`constant_time_eq`], and only that.

pub mod text;

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

/// A secret text: a secret access key or a PIN.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes `value` over; it is wiped when the secret is dropped.
    pub fn new(value: String) -> Self {
        Self(Zeroizing::new(value))
    }

    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether the other one is the same, in a time that depends on their lengths only.
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
    /// Takes `value` over; it is wiped when the secret is dropped.
    pub fn new(value: Vec<u8>) -> Self {
        Self(Zeroizing::new(value))
    }

    /// Room for `capacity` bytes. Stay within it: a growing buffer would leave its old copy unwiped,
    /// which is why [`SecretBytes::append`] moves by hand.
    pub fn with_capacity(capacity: usize) -> Self {
        Self::new(Vec::with_capacity(capacity))
    }

    /// The bytes themselves.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds `more` at the end; a buffer that must grow is wiped after the move.
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

/// Whether two byte strings are the same, in a time that depends on their lengths only.
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
    fn append_keeps_what_was_there_across_growth() {
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
