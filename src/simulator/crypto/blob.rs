//! The CiphertextBlob. It is opaque to callers and bound to one KMS key of one account and Region.
//!
//! `1 ‖ account (12 digits) ‖ u8 ‖ Region ‖ key id (16) ‖ u8 ‖ IV ‖ tag (16) ‖ u8 ‖ metadata ‖ u16be ‖ ciphertext ‖ HMAC-SHA-256 of it all`.
//! The HMAC key belongs to the KMS key, so a changed bit is detected before the proxy is called.

use crate::iv::Iv;
use crate::simulator::crypto::material::KeyMaterial;
use crate::simulator::crypto::random::{uuid_bytes, uuid_text};
use crate::xks::{CiphertextMetadata, EncryptedBytes, GcmTag};

/// The version of the format: the first byte of a blob.
const FORM: u8 = 1;

/// The length of the HMAC at the end, in bytes.
const CODE_LENGTH: usize = 32;

/// The KMS key of a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::simulator) struct BlobKey {
    pub(in crate::simulator) account: String,
    pub(in crate::simulator) region: String,
    pub(in crate::simulator) id: String,
}

/// A parsed blob.
#[derive(Debug)]
pub(in crate::simulator) struct Blob {
    pub(in crate::simulator) key: BlobKey,
    pub(in crate::simulator) encrypted: EncryptedBytes,
    pub(in crate::simulator) metadata: CiphertextMetadata,
}

impl Blob {
    /// Returns the bytes of the blob; none if a part does not fit the format.
    pub(in crate::simulator) fn bytes(&self, material: &KeyMaterial) -> Option<Vec<u8>> {
        let Self {
            key,
            encrypted,
            metadata,
        } = self;
        let ciphertext = &encrypted.ciphertext;
        let mut bytes = Vec::with_capacity(160 + ciphertext.len());
        bytes.push(FORM);
        bytes.extend_from_slice(key.account.as_bytes());
        push_short(&mut bytes, key.region.as_bytes())?;
        bytes.extend_from_slice(&uuid_bytes(&key.id)?);
        push_short(&mut bytes, encrypted.iv.as_bytes())?;
        bytes.extend_from_slice(encrypted.tag.as_bytes());
        push_short(&mut bytes, metadata.as_bytes())?;
        bytes.extend_from_slice(&u16::try_from(ciphertext.len()).ok()?.to_be_bytes());
        bytes.extend_from_slice(ciphertext);
        bytes.extend_from_slice(&material.code(&bytes));
        Some(bytes)
    }

    /// Parses a blob. Its content is not trustworthy until [`is_authentic`] has returned true.
    pub(in crate::simulator) fn parse(bytes: &[u8]) -> Option<Self> {
        let (body, _) = split_code(bytes)?;
        let mut rest = BlobReader(body);
        let (&[FORM], account) = (rest.take(1)?, rest.take(12)?) else {
            return None;
        };
        let key = BlobKey {
            account: text(account)?,
            region: text(rest.short()?)?,
            id: uuid_text(rest.take(16)?.try_into().ok()?),
        };
        let iv = Iv::new(rest.short()?)?;
        let tag = GcmTag::new(rest.take(16)?)?;
        let metadata = CiphertextMetadata::new(rest.short()?)?;
        let length = u16::from_be_bytes(rest.take(2)?.try_into().ok()?);
        let ciphertext = rest.take(usize::from(length))?.to_vec();
        let encrypted = EncryptedBytes {
            ciphertext,
            iv,
            tag,
        };
        rest.0.is_empty().then_some(Self {
            key,
            encrypted,
            metadata,
        })
    }
}

/// Returns whether the blob was made with this material and has not changed.
pub(in crate::simulator) fn is_authentic(bytes: &[u8], material: &KeyMaterial) -> bool {
    split_code(bytes).is_some_and(|(body, code)| material.is_code_of(body, code))
}

fn split_code(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    bytes.split_at_checked(bytes.len().checked_sub(CODE_LENGTH)?)
}

fn push_short(bytes: &mut Vec<u8>, part: &[u8]) -> Option<()> {
    bytes.push(u8::try_from(part.len()).ok()?);
    bytes.extend_from_slice(part);
    Some(())
}

fn text(bytes: &[u8]) -> Option<String> {
    String::from_utf8(bytes.to_vec()).ok()
}

struct BlobReader<'a>(&'a [u8]);

impl<'a> BlobReader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn short(&mut self) -> Option<&'a [u8]> {
        let &[length] = self.take(1)? else {
            return None;
        };
        self.take(usize::from(length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob() -> Blob {
        Blob {
            key: BlobKey {
                account: "111122223333".into(),
                region: "eu-west-1".into(),
                id: "1234abcd-12ab-34cd-56ef-1234567890ab".into(),
            },
            encrypted: EncryptedBytes {
                ciphertext: vec![9; 40],
                iv: Iv::new(&[1; 16]).unwrap(),
                tag: GcmTag::new(&[2; 16]).unwrap(),
            },
            metadata: CiphertextMetadata::new(&[3; 5]).unwrap(),
        }
    }

    #[test]
    fn an_encoded_blob_parses_to_the_same_values() {
        let material = KeyMaterial::generate().unwrap();
        let bytes = blob().bytes(&material).unwrap();
        let parsed = Blob::parse(&bytes).unwrap();
        assert_eq!(parsed.key, blob().key);
        assert_eq!(parsed.encrypted.ciphertext, vec![9; 40]);
        assert_eq!(parsed.encrypted.iv.as_bytes(), [1; 16]);
        assert_eq!(parsed.metadata.as_bytes(), [3; 5]);
        assert!(is_authentic(&bytes, &material));
        assert!(!is_authentic(&bytes, &KeyMaterial::generate().unwrap()));
    }

    #[test]
    fn a_changed_or_shortened_blob_is_rejected() {
        let material = KeyMaterial::generate().unwrap();
        let bytes = blob().bytes(&material).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(!is_authentic(&bad, &material), "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert!(!is_authentic(&bytes[..length], &material), "{length}");
            // Parsing never panics.
            drop(Blob::parse(&bytes[..length]));
        }
        let longer = [bytes.as_slice(), b"x"].concat();
        assert!(!is_authentic(&longer, &material));
    }
}
