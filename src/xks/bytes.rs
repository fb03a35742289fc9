//! The binary values of the API. Each type proves its limits by existing.
//!
//! On the wire all of them are standard Base64 with padding, canonical (RFC 4648 section 4): URL-safe, unpadded,
//! whitespace or stray trailing bits are refused, so that one value has exactly one text.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserialize, Deserializer, Error, Visitor};

use crate::secret::SecretBytes;

/// The longest plaintext and ciphertext, in bytes (the specification asks for 4,300). KMS sends far less; the cap on the
/// request body usually strikes first.
pub const MAX_PLAINTEXT: usize = 65_536;

/// The longest additional authenticated data, in bytes: what the framing's two-byte length can carry.
pub const MAX_AAD: usize = 65_535;

/// The longest `ciphertextMetadata`, in bytes before Base64.
const MAX_METADATA: usize = 20;

/// Writes bytes as Base64.
pub(super) fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// A Base64 field as received: decoded at once into memory that is wiped, or remembered as not being Base64, so that the
/// error can name the field.
pub(super) enum Base64Field {
    /// The decoded bytes.
    Valid(SecretBytes),
    /// A string that is not canonical Base64.
    Invalid,
}

impl<'de> Deserialize<'de> for Base64Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Base64Visitor)
    }
}

struct Base64Visitor;

impl Visitor<'_> for Base64Visitor {
    type Value = Base64Field;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a Base64 string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Base64Field, E> {
        Ok(match STANDARD.decode(text) {
            Ok(bytes) => Base64Field::Valid(bytes.into()),
            Err(_) => Base64Field::Invalid,
        })
    }
}

/// The caller's additional authenticated data: at most [`MAX_AAD`] bytes, possibly none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Aad(Vec<u8>);

impl Aad {
    /// The data, unless it is longer than [`MAX_AAD`].
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (bytes.len() <= MAX_AAD).then(|| Self(bytes.to_vec()))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// An initialization vector: 12 or 16 bytes. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct InitializationVector(Vec<u8>);

impl InitializationVector {
    /// The vector, unless its length is another.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        Self::from_vec(bytes.to_vec())
    }

    /// The same without a copy.
    pub fn from_vec(bytes: Vec<u8>) -> Option<Self> {
        matches!(bytes.len(), 12 | 16).then_some(Self(bytes))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for InitializationVector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InitializationVector(…)")
    }
}

/// A GCM authentication tag: 16 bytes.
#[derive(Clone, Copy, Debug)]
pub struct GcmTag([u8; 16]);

impl GcmTag {
    /// The tag, unless its length is another.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// The version of an external key that made a ciphertext; versions count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyVersion(pub u32);

impl KeyVersion {
    /// The version of a key that has no others, and of ciphertexts without metadata of ours.
    pub const FIRST: Self = Self(1);
}

/// `ciphertextMetadata`: at most 20 bytes that travel with a ciphertext and are bound to it by the AAD framing.
///
/// Ours is `0x01 ‖ u32be(key version)`; any other content is somebody else's, and is bound all the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CiphertextMetadata(Vec<u8>);

/// The first byte of metadata in our form.
const FORM_KEY_VERSION: u8 = 1;

impl CiphertextMetadata {
    /// The metadata, unless it is longer than 20 bytes.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (bytes.len() <= MAX_METADATA).then(|| Self(bytes.to_vec()))
    }

    /// The metadata that says which key version made the ciphertext.
    pub fn of_version(version: KeyVersion) -> Self {
        let mut bytes = vec![FORM_KEY_VERSION];
        bytes.extend_from_slice(&version.0.to_be_bytes());
        Self(bytes)
    }

    /// The key version that it names; [`KeyVersion::FIRST`] when it is absent or not in our form.
    pub fn key_version(&self) -> KeyVersion {
        self.named_version().unwrap_or(KeyVersion::FIRST)
    }

    /// The key version that it names; none when it is not in our form, which that of every ciphertext of ours is.
    pub fn named_version(&self) -> Option<KeyVersion> {
        match *self.0.as_slice() {
            [FORM_KEY_VERSION, a, b, c, d] => Some(KeyVersion(u32::from_be_bytes([a, b, c, d]))),
            _ => None,
        }
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(json: &str) -> Option<Vec<u8>> {
        match serde_json::from_str(json).unwrap() {
            Base64Field::Valid(bytes) => Some(bytes.expose().to_vec()),
            Base64Field::Invalid => None,
        }
    }

    #[test]
    fn base64_is_strict() {
        assert_eq!(decoded(r#""""#), Some(vec![]));
        assert_eq!(decoded(r#""+/8=""#), Some(vec![0xfb, 0xff]));
        assert_eq!(
            decoded(r#""+\/8=""#),
            Some(vec![0xfb, 0xff]),
            "JSON may escape a slash"
        );
        for bad in [
            "-_8=",
            "+/8",
            "+/8==",
            "+ /8=",
            "+/8=\\n",
            "+/9=",
            "=",
            "A",
            "AA=A",
            "\u{e4}AAA",
        ] {
            assert_eq!(decoded(&format!("\"{bad}\"")), None, "{bad}");
        }
        assert!(serde_json::from_str::<Base64Field>("7").is_err());
        assert!(serde_json::from_str::<Base64Field>("null").is_err());
    }

    #[test]
    fn lengths_are_proved() {
        for length in 0..=32 {
            let bytes = vec![7; length];
            assert_eq!(
                InitializationVector::new(&bytes).is_some(),
                length == 12 || length == 16
            );
            assert_eq!(GcmTag::new(&bytes).is_some(), length == 16);
            assert_eq!(CiphertextMetadata::new(&bytes).is_some(), length <= 20);
        }
        assert!(Aad::new(&vec![0; MAX_AAD]).is_some());
        assert!(Aad::new(&vec![0; MAX_AAD + 1]).is_none());
    }

    #[test]
    fn metadata_names_the_key_version() {
        let ours = CiphertextMetadata::of_version(KeyVersion(0x0102_0304));
        assert_eq!(ours.as_bytes(), [1, 1, 2, 3, 4]);
        assert_eq!(ours.key_version(), KeyVersion(0x0102_0304));
        for other in [
            &b""[..],
            b"key_version=1",
            &[2, 0, 0, 0, 9],
            &[1, 0, 0, 0],
            &[1, 0, 0, 0, 9, 9],
        ] {
            assert_eq!(
                CiphertextMetadata::new(other).unwrap().key_version(),
                KeyVersion::FIRST
            );
        }
    }

    #[test]
    fn debug_hides_the_iv() {
        let iv = InitializationVector::new(&[0xab; 12]).unwrap();
        assert_eq!(format!("{iv:?}"), "InitializationVector(…)");
    }
}
