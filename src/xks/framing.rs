//! The framing that binds metadata to a ciphertext (XKS API, Encrypt), and the ciphertext data integrity value (CDIV).
//!
//! # Invariants
//! - The framing is injective: two different pairs of AAD and metadata have different bytes, so bytes cannot be moved from one to the other. A change of
//!   [`framed_aad`] would make every existing ciphertext unreadable.

use sha2::{Digest, Sha256};

use super::bytes::{Aad, CiphertextMetadata, KeyVersion};

/// Returns the AAD for the HSM: `u16be(len AAD) ‖ AAD ‖ u8(len MD) ‖ MD`. It has at least 3 bytes.
pub fn framed_aad(aad: Aad, metadata: &CiphertextMetadata) -> Vec<u8> {
    let metadata = metadata.as_bytes();
    let mut framed = aad.into_length_and_bytes();
    // The type limits the length to 20, so the conversion is exact.
    framed.push(metadata.len() as u8);
    framed.extend_from_slice(metadata);
    framed
}

/// Returns the AAD that AWS's sample proxy passes to its HSM. It differs from [`framed_aad`]: if the request has an AAD, even an empty one, its SHA-256
/// replaces it. It is used only to decrypt ciphertexts of that proxy.
pub fn aws_samples_framed_aad(aad: Option<&Aad>, metadata: &CiphertextMetadata) -> Vec<u8> {
    let length = aad.map_or(0, |aad| aad.as_bytes().len());
    let metadata = metadata.as_bytes();
    let mut framed = Vec::with_capacity(2 + 32 + 1 + metadata.len());
    framed.extend_from_slice(&(length as u16).to_be_bytes());
    if let Some(aad) = aad {
        framed.extend_from_slice(&Sha256::digest(aad.as_bytes()));
    }
    framed.push(metadata.len() as u8);
    framed.extend_from_slice(metadata);
    framed
}

/// Returns the key version in a framing of this proxy; `None` if these bytes cannot be a framing of this proxy for any AAD.
pub fn version_of_framing(framed: &[u8]) -> Option<KeyVersion> {
    let (length, rest) = framed.split_first_chunk()?;
    let aad_length = usize::from(u16::from_be_bytes(*length));
    let (length, metadata) = rest.split_at_checked(aad_length)?.1.split_first()?;
    let metadata = CiphertextMetadata::new(metadata)?;
    (usize::from(*length) == metadata.as_bytes().len()).then(|| metadata.named_version())?
}

/// Returns the part of the CDIV's input before IV, ciphertext and tag: `AAD ‖ MD`.
pub fn integrity_prefix(aad: &Aad, metadata: &CiphertextMetadata) -> Vec<u8> {
    [aad.as_bytes(), metadata.as_bytes()].concat()
}

/// Returns the CDIV: `SHA-256(AAD ‖ MD ‖ IV ‖ ciphertext ‖ tag)`, with the raw AAD and without lengths.
pub fn integrity_value(
    aad: &Aad,
    metadata: &CiphertextMetadata,
    iv: &[u8],
    ciphertext: &[u8],
    tag: &[u8; 16],
) -> [u8; 32] {
    Sha256::new()
        .chain_update(aad.as_bytes())
        .chain_update(metadata.as_bytes())
        .chain_update(iv)
        .chain_update(ciphertext)
        .chain_update(tag)
        .finalize()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    fn bytes(base64: &str) -> Vec<u8> {
        STANDARD.decode(base64).unwrap()
    }

    #[test]
    fn the_framing_contains_both_lengths() {
        let aad = Aad::new(b"project=nile").unwrap();
        let metadata = CiphertextMetadata::new(&[1, 0, 0, 0, 7]).unwrap();
        let none = CiphertextMetadata::default();
        assert_eq!(
            framed_aad(aad.clone(), &metadata),
            b"\x00\x0cproject=nile\x05\x01\x00\x00\x00\x07"
        );
        assert_eq!(framed_aad(aad, &none), b"\x00\x0cproject=nile\x00");
        assert_eq!(framed_aad(Aad::default(), &none), [0, 0, 0]);
    }

    #[test]
    fn the_sample_proxys_framing_has_the_digest_of_the_aad() {
        let none = CiphertextMetadata::default();
        let metadata = CiphertextMetadata::new(b"v0.0.1").unwrap();
        assert_eq!(aws_samples_framed_aad(None, &none), [0, 0, 0]);
        let empty = aws_samples_framed_aad(Some(&Aad::default()), &none);
        assert_eq!(empty.len(), 2 + 32 + 1, "the request has an empty AAD");
        assert_eq!(empty[..6], [0, 0, 0xe3, 0xb0, 0xc4, 0x42]);
        let aad = Aad::new(&[7; 300]).unwrap();
        let framed = aws_samples_framed_aad(Some(&aad), &metadata);
        assert_eq!(
            framed[..2],
            300_u16.to_be_bytes(),
            "the length of the AAD, not of its digest"
        );
        assert_eq!(framed[34..], *b"\x06v0.0.1");
    }

    #[test]
    fn a_framing_contains_its_version() {
        for aad in [&b""[..], b"x", &[0; 300]] {
            let aad = Aad::new(aad).unwrap();
            for version in [KeyVersion::FIRST, KeyVersion(0x0102_0304)] {
                let framed = framed_aad(aad.clone(), &CiphertextMetadata::of_version(version));
                assert_eq!(version_of_framing(&framed), Some(version));
                let longer = [&framed[..], &[0]].concat();
                assert_eq!(version_of_framing(&longer), None);
            }
            let other = framed_aad(aad.clone(), &CiphertextMetadata::new(b"v0.0.1").unwrap());
            assert_eq!(version_of_framing(&other), None);
        }
        for cut in [&b""[..], b"\x00", b"\x00\x00", b"\x00\x09abc"] {
            assert_eq!(version_of_framing(cut), None, "{cut:?}");
        }
    }

    /// Two kinds of framings of the sample proxy are also framings of this proxy: an AAD of 32 bytes with metadata that contains a version, and metadata
    /// that looks like the end of a longer AAD.
    #[test]
    fn few_framings_of_the_sample_proxy_are_also_framings_of_this_proxy() {
        let version = |length: usize, metadata: &[u8]| {
            let (aad, metadata) = (
                Aad::new(&vec![9; length]),
                CiphertextMetadata::new(metadata),
            );
            version_of_framing(&aws_samples_framed_aad(aad.as_ref(), &metadata.unwrap()))
        };
        let named = [1, 0, 0, 0, 7];
        for length in (0..200).filter(|length| *length != 32) {
            assert_eq!(version(length, &named), None, "{length}");
        }
        assert_eq!(version(32, &named), Some(KeyVersion(7)));
        assert_eq!(version(32, b"v0.0.1"), None);
        let crafted = [b"12345678".as_slice(), &[5], &named].concat();
        assert_eq!(version(41, &crafted), Some(KeyVersion(7)));
    }

    #[test]
    fn the_longest_aad_is_framed() {
        let aad = Aad::new(&vec![9; 65_535]).unwrap();
        let framed = framed_aad(aad.clone(), &CiphertextMetadata::new(&[3; 20]).unwrap());
        assert_eq!(framed.len(), 2 + 65_535 + 1 + 20);
        assert_eq!(framed.get(..2), Some(&[0xff, 0xff][..]));
    }

    #[test]
    fn metadata_cannot_be_moved_into_the_aad() {
        let split = |aad: &[u8], md: &[u8]| {
            framed_aad(
                Aad::new(aad).unwrap(),
                &CiphertextMetadata::new(md).unwrap(),
            )
        };
        assert_ne!(split(b"ab", b"c"), split(b"abc", b""));
        assert_ne!(split(b"", b"abc"), split(b"abc", b""));
    }

    #[test]
    fn the_integrity_value_is_that_of_the_specifications_example() {
        let value = integrity_value(
            &Aad::new(&bytes("cHJvamVjdD1uaWxlLGRlcGFydG1lbnQ9bWFya2V0aW5n")).unwrap(),
            &CiphertextMetadata::new(&bytes("a2V5X3ZlcnNpb249MQ==")).unwrap(),
            &bytes("HMrlRw85cAJUd5Ax"),
            &bytes("ghxkK1txeDNn3q8Y"),
            &bytes("vBxN2ncH1oEkR8WVXpmyYQ==").try_into().unwrap(),
        );
        assert_eq!(
            STANDARD.encode(value),
            "qHA/ImC9h5HsLRXqCyPmWgYx7tzyoTplzILbP0fPXsc="
        );
    }
}
