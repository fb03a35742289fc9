//! The binary values of the API. A value of each type is always within its limits.
//!
//! On the wire, all of them are canonical standard Base64 with padding (RFC 4648 section 4). The URL-safe alphabet, missing padding, whitespace and
//! trailing bits are rejected, so each value has exactly one text.

use std::fmt;
use std::marker::PhantomData;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserialize, Deserializer, Error, Visitor};

use crate::secret::SecretBytes;

/// The longest plaintext and ciphertext, in bytes (the specification requires 4,300). KMS sends much shorter ones, and the limit of the request body is
/// usually lower.
pub const MAX_PLAINTEXT: usize = 65_536;

/// The longest additional authenticated data, in bytes: the maximum of the framing's two-byte length.
pub const MAX_AAD: usize = 65_535;

/// The longest `ciphertextMetadata`, in bytes before Base64.
const MAX_METADATA: usize = 20;

/// Encodes bytes as Base64.
pub(super) fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The capacity beyond the bytes of a Base64 field: space for a tag behind a ciphertext, or for the end of the framing behind an AAD.
const SPARE: usize = 1 + MAX_METADATA;

/// A received Base64 field. It is decoded at once. Invalid Base64 is not an error here, so that the caller's error can name the field.
pub(super) enum Base64Field<T> {
    /// The decoded bytes.
    Valid(T),
    /// The string is not canonical Base64.
    Invalid,
}

impl<'de, T: FromBase64> Deserialize<'de> for Base64Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Base64Visitor(PhantomData))
    }
}

/// A value that is decoded from Base64 into its final buffer.
pub(super) trait FromBase64: Sized {
    /// The bytes before the decoded ones.
    const PREFIX: &'static [u8] = &[];

    /// Wraps the buffer: [`Self::PREFIX`] and the decoded bytes.
    fn wrap(buffer: Vec<u8>) -> Self;
}

impl FromBase64 for SecretBytes {
    fn wrap(buffer: Vec<u8>) -> Self {
        buffer.into()
    }
}

impl FromBase64 for Vec<u8> {
    fn wrap(buffer: Vec<u8>) -> Self {
        buffer
    }
}

struct Base64Visitor<T>(PhantomData<T>);

impl<T: FromBase64> Visitor<'_> for Base64Visitor<T> {
    type Value = Base64Field<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a Base64 string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Base64Field<T>, E> {
        let decoded_length = text.len() / 4 * 3;
        let mut buffer = Vec::with_capacity(T::PREFIX.len() + decoded_length + SPARE);
        buffer.extend_from_slice(T::PREFIX);
        Ok(match STANDARD.decode_vec(text, &mut buffer) {
            Ok(()) => Base64Field::Valid(T::wrap(buffer)),
            Err(_) => Base64Field::Invalid,
        })
    }
}

/// The additional authenticated data of a request: at most [`MAX_AAD`] bytes, possibly none.
///
/// The buffer begins with the length, as the framing does, so that the framing needs no copy.
#[derive(Clone, PartialEq, Eq)]
pub struct Aad(Vec<u8>);

impl Aad {
    /// The size of the length before the data, in bytes.
    const LENGTH_SIZE: usize = size_of::<u16>();

    /// Copies the data; `None` if it is longer than [`MAX_AAD`].
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let mut buffer = Vec::with_capacity(Self::LENGTH_SIZE + bytes.len() + SPARE);
        buffer.extend_from_slice(UnboundedAad::PREFIX);
        buffer.extend_from_slice(bytes);
        UnboundedAad::wrap(buffer).bounded()
    }

    /// Returns the bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.get(Self::LENGTH_SIZE..).unwrap_or_default()
    }

    /// Returns `u16be(length) ‖ AAD`.
    pub(super) fn into_length_and_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl Default for Aad {
    fn default() -> Self {
        Self(vec![0; Self::LENGTH_SIZE])
    }
}

impl fmt::Debug for Aad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Aad").field(&self.as_bytes()).finish()
    }
}

/// Decoded AAD whose length is not checked yet.
pub(super) struct UnboundedAad(Vec<u8>);

impl UnboundedAad {
    /// Writes the length; `None` if the AAD is longer than [`MAX_AAD`].
    pub(super) fn bounded(self) -> Option<Aad> {
        let mut buffer = self.0;
        let (length, bytes) = buffer.split_first_chunk_mut()?;
        *length = u16::try_from(bytes.len()).ok()?.to_be_bytes();
        Some(Aad(buffer))
    }
}

impl FromBase64 for UnboundedAad {
    const PREFIX: &'static [u8] = &[0; Aad::LENGTH_SIZE];

    fn wrap(buffer: Vec<u8>) -> Self {
        Self(buffer)
    }
}

/// A GCM authentication tag: 16 bytes.
#[derive(Clone, Copy, Debug)]
pub struct GcmTag([u8; 16]);

impl GcmTag {
    /// Copies the tag; `None` if it has another length.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Returns the bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl From<[u8; 16]> for GcmTag {
    fn from(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

/// The version of an external key; versions count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyVersion(pub u32);

impl KeyVersion {
    /// The version of a key with a single version, and of ciphertexts without this proxy's metadata.
    pub const FIRST: Self = Self(1);
}

/// `ciphertextMetadata`: at most 20 bytes that KMS stores with a ciphertext. The AAD framing binds them to the ciphertext.
///
/// This proxy's metadata is `0x01 ‖ u32be(key version)`. Metadata of other proxies is bound to the ciphertext in the same way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CiphertextMetadata(Vec<u8>);

/// The first byte of this proxy's metadata.
const FORM_KEY_VERSION: u8 = 1;

impl CiphertextMetadata {
    /// Copies the metadata; `None` if it is longer than 20 bytes.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (bytes.len() <= MAX_METADATA).then(|| Self(bytes.to_vec()))
    }

    /// Returns the metadata that contains this key version.
    pub fn of_version(version: KeyVersion) -> Self {
        let mut bytes = vec![FORM_KEY_VERSION];
        bytes.extend_from_slice(&version.0.to_be_bytes());
        Self(bytes)
    }

    /// Returns the key version in the metadata; [`KeyVersion::FIRST`] if the metadata is not this proxy's.
    pub fn key_version(&self) -> KeyVersion {
        self.named_version().unwrap_or(KeyVersion::FIRST)
    }

    /// Returns the key version in the metadata; `None` if the metadata is not this proxy's. Every ciphertext of this proxy has its metadata.
    pub fn named_version(&self) -> Option<KeyVersion> {
        match *self.0.as_slice() {
            [FORM_KEY_VERSION, a, b, c, d] => Some(KeyVersion(u32::from_be_bytes([a, b, c, d]))),
            _ => None,
        }
    }

    /// Returns the bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(json: &str) -> Option<Vec<u8>> {
        match serde_json::from_str(json).unwrap() {
            Base64Field::Valid(bytes) => Some(bytes),
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
        assert!(serde_json::from_str::<Base64Field<Vec<u8>>>("7").is_err());
        assert!(serde_json::from_str::<Base64Field<Vec<u8>>>("null").is_err());
    }

    #[test]
    fn lengths_are_checked() {
        for length in 0..=32 {
            let bytes = vec![7; length];
            assert_eq!(GcmTag::new(&bytes).is_some(), length == 16);
            assert_eq!(CiphertextMetadata::new(&bytes).is_some(), length <= 20);
        }
        assert!(Aad::new(&vec![0; MAX_AAD]).is_some());
        assert!(Aad::new(&vec![0; MAX_AAD + 1]).is_none());
    }

    #[test]
    fn metadata_contains_the_key_version() {
        let metadata = CiphertextMetadata::of_version(KeyVersion(0x0102_0304));
        assert_eq!(metadata.as_bytes(), [1, 1, 2, 3, 4]);
        assert_eq!(metadata.key_version(), KeyVersion(0x0102_0304));
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
}
