//! KMS's own half of the double encryption: AES-256-GCM with key material that belongs to one KMS key.
//!
//! # Invariants
//! - Each nonce is random and used once; the number of encryptions under one key stays far below what random nonces bear.
//! - `Debug` and errors show no key material.

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
use crate::simulator::wire::exception::{Exception, Kind};

/// An AES-256 key.
const KEY_LENGTH: usize = 32;

/// What a blob's code is made for.
const BLOB_LABEL: &[u8] = b"kms-simulator ciphertext blob v1";

/// The key material of one KMS key, which also vouches for the blobs made with it.
#[derive(Clone)]
pub(in crate::simulator) struct Material(Arc<Keys>);

struct Keys {
    material: Zeroizing<[u8; KEY_LENGTH]>,
    seal: LessSafeKey,
    code: hmac::Key,
}

impl Material {
    /// Material that nobody had before.
    pub(in crate::simulator) fn generate() -> Result<Self, Exception> {
        let mut material = Zeroizing::new([0; KEY_LENGTH]);
        random::fill(material.as_mut_slice())?;
        Self::of(material).ok_or_else(|| failed("use its key material"))
    }

    fn of(material: Zeroizing<[u8; KEY_LENGTH]>) -> Option<Self> {
        let unbound = UnboundKey::new(&AES_256_GCM, material.as_slice()).ok()?;
        let root = hmac::Key::new(hmac::HMAC_SHA256, material.as_slice());
        let code = hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&root, BLOB_LABEL).as_ref());
        Some(Self(Arc::new(Keys {
            material,
            seal: LessSafeKey::new(unbound),
            code,
        })))
    }

    /// Nonce, ciphertext and tag.
    pub(in crate::simulator) fn seal(
        &self,
        plaintext: &[u8],
        aad: &[u8],
    ) -> Result<Vec<u8>, Exception> {
        let nonce: [u8; NONCE_LEN] = random::bytes()?;
        let mut sealed = Vec::with_capacity(NONCE_LEN + plaintext.len() + AES_256_GCM.tag_len());
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plaintext);
        let (_, text) = sealed.split_at_mut(NONCE_LEN);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self
            .0
            .seal
            .seal_in_place_separate_tag(nonce, Aad::from(aad), text);
        let tag = tag.map_err(|_| failed("encrypt"))?;
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed)
    }

    /// The plaintext of what [`Material::seal`] has made with this AAD; none of anything else.
    pub(in crate::simulator) fn open(&self, sealed: &[u8], aad: &[u8]) -> Option<SecretBytes> {
        let (nonce, text) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut text = Zeroizing::new(text.to_vec());
        let opened = self.0.seal.open_in_place(nonce, Aad::from(aad), &mut text);
        Some(SecretBytes::new(opened.ok()?.to_vec()))
    }

    /// The code of a blob.
    pub(in crate::simulator) fn code(&self, blob: &[u8]) -> Vec<u8> {
        hmac::sign(&self.0.code, blob).as_ref().to_vec()
    }

    /// Whether the code is the blob's.
    pub(in crate::simulator) fn vouches_for(&self, blob: &[u8], code: &[u8]) -> bool {
        hmac::verify(&self.0.code, blob, code).is_ok()
    }
}

fn failed(what: &str) -> Exception {
    Kind::KmsInternal.because(format!("KMS could not {what}."))
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Material(…)")
    }
}

impl Serialize for Material {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let text = Zeroizing::new(STANDARD.encode(self.0.material.as_slice()));
        to.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for Material {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(from)?);
        let mut material = Zeroizing::new([0; KEY_LENGTH]);
        let decoded = STANDARD.decode_slice(text.as_bytes(), material.as_mut_slice());
        let made = match decoded {
            Ok(KEY_LENGTH) => Self::of(material),
            _ => None,
        };
        made.ok_or_else(|| D::Error::custom("key material is not 32 bytes of Base64"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_with_the_same_material_and_aad_only() {
        let (a, b) = (Material::generate().unwrap(), Material::generate().unwrap());
        for plaintext in [&b""[..], b"x", &[7; 4096]] {
            let sealed = a.seal(plaintext, b"aad").unwrap();
            assert_eq!(sealed.len(), plaintext.len() + 28);
            assert_eq!(a.open(&sealed, b"aad").unwrap().expose(), plaintext);
            assert!(a.open(&sealed, b"other").is_none());
            assert!(b.open(&sealed, b"aad").is_none());
            assert_ne!(a.seal(plaintext, b"aad").unwrap(), sealed);
            for at in 0..28.min(sealed.len()) {
                let mut bad = sealed.clone();
                bad[at] ^= 1;
                assert!(a.open(&bad, b"aad").is_none());
            }
        }
        assert!(a.open(b"short", b"").is_none());
    }

    #[test]
    fn material_is_kept_and_never_shown() {
        let material = Material::generate().unwrap();
        let kept = serde_json::to_string(&material).unwrap();
        let again: Material = serde_json::from_str(&kept).unwrap();
        let sealed = material.seal(b"x", b"").unwrap();
        assert_eq!(again.open(&sealed, b"").unwrap().expose(), b"x");
        assert!(again.vouches_for(b"blob", &material.code(b"blob")));
        assert!(!again.vouches_for(b"blub", &material.code(b"blob")));
        assert_eq!(format!("{material:?}"), "Material(…)");
        for bad in ["\"\"", "\"AAAA\"", "\"%\"", "7"] {
            assert!(serde_json::from_str::<Material>(bad).is_err(), "{bad}");
        }
    }
}
