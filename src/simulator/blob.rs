//! The CiphertextBlob: opaque to callers, bound to one KMS key of one account and Region, and whole or nothing.
//!
//! `1 ‖ account (12 digits) ‖ u8 ‖ Region ‖ key id (16) ‖ u8 ‖ IV ‖ tag (16) ‖ u8 ‖ metadata ‖ u16be ‖ ciphertext ‖ HMAC-SHA-256 of it all`,
//! the last with a key of the KMS key: a changed bit is found here, before the proxy is asked.

use super::random::{uuid_bytes, uuid_text};
use super::seal::Material;
use crate::xks::{CiphertextMetadata, EncryptedBytes, GcmTag, InitializationVector};

/// The first byte of a blob of this form.
const FORM: u8 = 1;

/// The code at the end.
const CODE_LENGTH: usize = 32;

/// A blob's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BlobKey {
    pub(super) account: String,
    pub(super) region: String,
    pub(super) id: String,
}

/// A blob taken apart.
#[derive(Debug)]
pub(super) struct Blob {
    pub(super) key: BlobKey,
    pub(super) sealed: EncryptedBytes,
    pub(super) metadata: CiphertextMetadata,
}

impl Blob {
    /// The bytes; none if the key's names have forms that no key has.
    pub(super) fn bytes(&self, material: &Material) -> Option<Vec<u8>> {
        let Self {
            key,
            sealed,
            metadata,
        } = self;
        let ciphertext = &sealed.ciphertext;
        let mut bytes = Vec::with_capacity(160 + ciphertext.len());
        bytes.push(FORM);
        bytes.extend_from_slice(key.account.as_bytes());
        push_short(&mut bytes, key.region.as_bytes())?;
        bytes.extend_from_slice(&uuid_bytes(&key.id)?);
        push_short(&mut bytes, sealed.iv.as_bytes())?;
        bytes.extend_from_slice(sealed.tag.as_bytes());
        push_short(&mut bytes, metadata.as_bytes())?;
        bytes.extend_from_slice(&u16::try_from(ciphertext.len()).ok()?.to_be_bytes());
        bytes.extend_from_slice(ciphertext);
        bytes.extend_from_slice(&material.code(&bytes));
        Some(bytes)
    }

    /// Takes a blob apart. What it says is not to be believed before [`is_whole`] has said so.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let (body, _) = split_code(bytes)?;
        let mut rest = Reader(body);
        let (&[FORM], account) = (rest.take(1)?, rest.take(12)?) else {
            return None;
        };
        let key = BlobKey {
            account: text(account)?,
            region: text(rest.short()?)?,
            id: uuid_text(rest.take(16)?.try_into().ok()?),
        };
        let iv = InitializationVector::new(rest.short()?)?;
        let tag = GcmTag::new(rest.take(16)?)?;
        let metadata = CiphertextMetadata::new(rest.short()?)?;
        let length = u16::from_be_bytes(rest.take(2)?.try_into().ok()?);
        let ciphertext = rest.take(usize::from(length))?.to_vec();
        let sealed = EncryptedBytes {
            ciphertext,
            iv,
            tag,
        };
        rest.0.is_empty().then_some(Self {
            key,
            sealed,
            metadata,
        })
    }
}

/// Whether every bit of the blob is as it was made with this material.
pub(super) fn is_whole(bytes: &[u8], material: &Material) -> bool {
    split_code(bytes).is_some_and(|(body, code)| material.vouches_for(body, code))
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

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
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
            sealed: EncryptedBytes {
                ciphertext: vec![9; 40],
                iv: InitializationVector::new(&[1; 16]).unwrap(),
                tag: GcmTag::new(&[2; 16]).unwrap(),
            },
            metadata: CiphertextMetadata::new(&[3; 5]).unwrap(),
        }
    }

    #[test]
    fn a_blob_is_taken_apart_as_it_was_made() {
        let material = Material::generate().unwrap();
        let bytes = blob().bytes(&material).unwrap();
        let parsed = Blob::parse(&bytes).unwrap();
        assert_eq!(parsed.key, blob().key);
        assert_eq!(parsed.sealed.ciphertext, vec![9; 40]);
        assert_eq!(parsed.sealed.iv.as_bytes(), [1; 16]);
        assert_eq!(parsed.metadata.as_bytes(), [3; 5]);
        assert!(is_whole(&bytes, &material));
        assert!(!is_whole(&bytes, &Material::generate().unwrap()));
    }

    #[test]
    fn no_bit_may_change_and_no_byte_may_be_missing() {
        let material = Material::generate().unwrap();
        let bytes = blob().bytes(&material).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(!is_whole(&bad, &material), "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert!(!is_whole(&bytes[..length], &material), "{length}");
            // No length makes it panic.
            drop(Blob::parse(&bytes[..length]));
        }
        let longer = [bytes.as_slice(), b"x"].concat();
        assert!(!is_whole(&longer, &material));
    }
}
