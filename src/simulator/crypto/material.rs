//! The inner layer of the double encryption: AES-256-GCM with the key material of one KMS key.
//!
//! # Invariants
//! - Each nonce is random. The number of encryptions with one key stays far below the limit for random nonces (2³²).
//! - `Debug` and errors do not show key material.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::secret::SecretBytes;
use crate::simulator::crypto::random;
use crate::simulator::wire::exception::{Exception, ExceptionKind};

/// The length of an AES-256 key, in bytes.
const KEY_LENGTH: usize = 32;

/// The label from which the HMAC key for blobs is derived.
const BLOB_LABEL: &[u8] = b"kms-simulator ciphertext blob v1";

/// The key material of one KMS key. It encrypts, and authenticates blobs.
#[derive(Clone)]
pub(in crate::simulator) struct KeyMaterial(Arc<DerivedKeys>);

struct DerivedKeys {
    material: Zeroizing<[u8; KEY_LENGTH]>,
    seal: LessSafeKey,
    code: hmac::Key,
}

impl KeyMaterial {
    /// Generates random material.
    pub(in crate::simulator) fn generate() -> Result<Self, Exception> {
        let mut material = Zeroizing::new([0; KEY_LENGTH]);
        random::fill(material.as_mut_slice())?;
        Self::from_bytes(material).ok_or_else(|| failed("use its key material"))
    }

    fn from_bytes(material: Zeroizing<[u8; KEY_LENGTH]>) -> Option<Self> {
        let unbound = UnboundKey::new(&AES_256_GCM, material.as_slice()).ok()?;
        let root = hmac::Key::new(hmac::HMAC_SHA256, material.as_slice());
        let code = hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&root, BLOB_LABEL).as_ref());
        Some(Self(Arc::new(DerivedKeys {
            material,
            seal: LessSafeKey::new(unbound),
            code,
        })))
    }

    /// Encrypts, and returns nonce, ciphertext and tag.
    pub(in crate::simulator) fn seal(
        &self,
        plaintext: &[u8],
        aad: &[u8],
    ) -> Result<Vec<u8>, Exception> {
        let nonce: [u8; NONCE_LEN] = random::bytes()?;
        let mut encrypted = Vec::with_capacity(NONCE_LEN + plaintext.len() + AES_256_GCM.tag_len());
        encrypted.extend_from_slice(&nonce);
        encrypted.extend_from_slice(plaintext);
        let (_, text) = encrypted.split_at_mut(NONCE_LEN);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self
            .0
            .seal
            .seal_in_place_separate_tag(nonce, Aad::from(aad), text);
        let tag = tag.map_err(|_| failed("encrypt"))?;
        encrypted.extend_from_slice(tag.as_ref());
        Ok(encrypted)
    }

    /// Decrypts the result of [`KeyMaterial::seal`]; returns none if the input or the AAD is different.
    pub(in crate::simulator) fn open(&self, encrypted: &[u8], aad: &[u8]) -> Option<SecretBytes> {
        let (nonce, text) = encrypted.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut text = Zeroizing::new(text.to_vec());
        let opened = self.0.seal.open_in_place(nonce, Aad::from(aad), &mut text);
        Some(SecretBytes::new(opened.ok()?.to_vec()))
    }

    /// Returns the HMAC of a blob.
    pub(in crate::simulator) fn code(&self, blob: &[u8]) -> Vec<u8> {
        hmac::sign(&self.0.code, blob).as_ref().to_vec()
    }

    /// Returns whether `code` is the HMAC of the blob, in constant time.
    pub(in crate::simulator) fn is_code_of(&self, blob: &[u8], code: &[u8]) -> bool {
        hmac::verify(&self.0.code, blob, code).is_ok()
    }
}

fn failed(action: &str) -> Exception {
    ExceptionKind::KmsInternal.with_message(format!("KMS could not {action}."))
}

impl fmt::Debug for KeyMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyMaterial(…)")
    }
}

impl Serialize for KeyMaterial {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let text = Zeroizing::new(STANDARD.encode(self.0.material.as_slice()));
        to.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for KeyMaterial {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(from)?);
        let mut material = Zeroizing::new([0; KEY_LENGTH]);
        let decoded = STANDARD.decode_slice(text.as_bytes(), material.as_mut_slice());
        let made = match decoded {
            Ok(KEY_LENGTH) => Self::from_bytes(material),
            _ => None,
        };
        made.ok_or_else(|| D::Error::custom("key material is not 32 bytes of Base64"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decryption_needs_the_same_material_and_aad() {
        let (a, b) = (
            KeyMaterial::generate().unwrap(),
            KeyMaterial::generate().unwrap(),
        );
        for plaintext in [&b""[..], b"x", &[7; 4096]] {
            let encrypted = a.seal(plaintext, b"aad").unwrap();
            assert_eq!(encrypted.len(), plaintext.len() + 28);
            assert_eq!(a.open(&encrypted, b"aad").unwrap().expose(), plaintext);
            assert!(a.open(&encrypted, b"other").is_none());
            assert!(b.open(&encrypted, b"aad").is_none());
            assert_ne!(a.seal(plaintext, b"aad").unwrap(), encrypted);
            for at in 0..28.min(encrypted.len()) {
                let mut bad = encrypted.clone();
                bad[at] ^= 1;
                assert!(a.open(&bad, b"aad").is_none());
            }
        }
        assert!(a.open(b"short", b"").is_none());
    }

    #[test]
    fn material_is_serialized_but_not_in_debug_output() {
        let material = KeyMaterial::generate().unwrap();
        let kept = serde_json::to_string(&material).unwrap();
        let again: KeyMaterial = serde_json::from_str(&kept).unwrap();
        let encrypted = material.seal(b"x", b"").unwrap();
        assert_eq!(again.open(&encrypted, b"").unwrap().expose(), b"x");
        assert!(again.is_code_of(b"blob", &material.code(b"blob")));
        assert!(!again.is_code_of(b"blub", &material.code(b"blob")));
        assert_eq!(format!("{material:?}"), "KeyMaterial(…)");
        for bad in ["\"\"", "\"AAAA\"", "\"%\"", "7"] {
            assert!(serde_json::from_str::<KeyMaterial>(bad).is_err(), "{bad}");
        }
    }
}
