//! How metadata is bound to a ciphertext (XKS API, Encrypt) and the ciphertext data integrity value (CDIV).
//!
//! # Invariants
//! - The framing is injective: no two pairs of AAD and metadata give the same bytes, so that neither can be moved into the
//!   other. Changing this function makes every existing ciphertext unreadable.

use sha2::{Digest, Sha256};

use super::bytes::{Aad, CiphertextMetadata, KeyVersion};

/// The AAD that the HSM is given: `u16be(len AAD) ‖ AAD ‖ u8(len MD) ‖ MD`; always at least 3 bytes.
pub fn framed_aad(aad: &Aad, metadata: &CiphertextMetadata) -> Vec<u8> {
    let (aad, metadata) = (aad.as_bytes(), metadata.as_bytes());
    let mut framed = Vec::with_capacity(3 + aad.len() + metadata.len());
    // The types bound the lengths by 65,535 and 20: neither conversion loses anything.
    framed.extend_from_slice(&(aad.len() as u16).to_be_bytes());
    framed.extend_from_slice(aad);
    framed.push(metadata.len() as u8);
    framed.extend_from_slice(metadata);
    framed
}

/// The AAD that AWS's sample proxy gives to its HSM: as [`framed_aad`], but with the AAD's SHA-256 in its place, if there was an AAD in
/// the request at all (an empty one counts). Only ever used to decrypt what that proxy has encrypted.
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

/// The key version of a ciphertext that this proxy has bound to these bytes, with whatever AAD; none if it can have made no such ciphertext.
pub fn version_of_framing(framed: &[u8]) -> Option<KeyVersion> {
    let (length, rest) = framed.split_first_chunk()?;
    let aad_length = usize::from(u16::from_be_bytes(*length));
    let (length, metadata) = rest.split_at_checked(aad_length)?.1.split_first()?;
    let metadata = CiphertextMetadata::new(metadata)?;
    (usize::from(*length) == metadata.as_bytes().len()).then(|| metadata.named_version())?
}

/// What the CDIV covers before IV, ciphertext and tag: `AAD ‖ MD`.
pub fn integrity_prefix(aad: &Aad, metadata: &CiphertextMetadata) -> Vec<u8> {
    [aad.as_bytes(), metadata.as_bytes()].concat()
}

/// The CDIV: `SHA-256(AAD ‖ MD ‖ IV ‖ ciphertext ‖ tag)`, the raw AAD, no lengths.
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
    fn framing_carries_both_lengths() {
        let aad = Aad::new(b"project=nile").unwrap();
        let metadata = CiphertextMetadata::new(&[1, 0, 0, 0, 7]).unwrap();
        let none = CiphertextMetadata::default();
        assert_eq!(
            framed_aad(&aad, &metadata),
            b"\x00\x0cproject=nile\x05\x01\x00\x00\x00\x07"
        );
        assert_eq!(framed_aad(&aad, &none), b"\x00\x0cproject=nile\x00");
        assert_eq!(framed_aad(&Aad::default(), &none), [0, 0, 0]);
    }

    #[test]
    fn the_sample_proxys_framing_has_the_digest_of_an_aad_that_was_given() {
        let none = CiphertextMetadata::default();
        let metadata = CiphertextMetadata::new(b"v0.0.1").unwrap();
        assert_eq!(aws_samples_framed_aad(None, &none), [0, 0, 0]);
        let empty = aws_samples_framed_aad(Some(&Aad::default()), &none);
        assert_eq!(empty.len(), 2 + 32 + 1, "an empty AAD was given");
        assert_eq!(empty[..6], [0, 0, 0xe3, 0xb0, 0xc4, 0x42]);
        let aad = Aad::new(&[7; 300]).unwrap();
        let framed = aws_samples_framed_aad(Some(&aad), &metadata);
        assert_eq!(
            framed[..2],
            300_u16.to_be_bytes(),
            "of the AAD, not of its digest"
        );
        assert_eq!(framed[34..], *b"\x06v0.0.1");
    }

    #[test]
    fn a_framing_shows_its_version() {
        for aad in [&b""[..], b"x", &[0; 300]] {
            let aad = Aad::new(aad).unwrap();
            for version in [KeyVersion::FIRST, KeyVersion(0x0102_0304)] {
                let framed = framed_aad(&aad, &CiphertextMetadata::of_version(version));
                assert_eq!(version_of_framing(&framed), Some(version));
                let longer = [&framed[..], &[0]].concat();
                assert_eq!(version_of_framing(&longer), None);
            }
            let other = framed_aad(&aad, &CiphertextMetadata::new(b"v0.0.1").unwrap());
            assert_eq!(version_of_framing(&other), None);
        }
        for cut in [&b""[..], b"\x00", b"\x00\x00", b"\x00\x09abc"] {
            assert_eq!(version_of_framing(cut), None, "{cut:?}");
        }
    }

    /// Only these can be taken for ciphertexts of ours: an AAD of 32 bytes with metadata that names the version, and metadata that ends as
    /// if they were the end of a longer AAD.
    #[test]
    fn which_framings_of_the_sample_proxy_look_like_ours() {
        let seen = |length: usize, metadata: &[u8]| {
            let (aad, metadata) = (
                Aad::new(&vec![9; length]),
                CiphertextMetadata::new(metadata),
            );
            version_of_framing(&aws_samples_framed_aad(aad.as_ref(), &metadata.unwrap()))
        };
        let named = [1, 0, 0, 0, 7];
        for length in (0..200).filter(|length| *length != 32) {
            assert_eq!(seen(length, &named), None, "{length}");
        }
        assert_eq!(seen(32, &named), Some(KeyVersion(7)));
        assert_eq!(seen(32, b"v0.0.1"), None);
        let crafted = [b"12345678".as_slice(), &[5], &named].concat();
        assert_eq!(seen(41, &crafted), Some(KeyVersion(7)));
    }

    #[test]
    fn framing_of_the_longest_aad() {
        let aad = Aad::new(&vec![9; 65_535]).unwrap();
        let framed = framed_aad(&aad, &CiphertextMetadata::new(&[3; 20]).unwrap());
        assert_eq!(framed.len(), 2 + 65_535 + 1 + 20);
        assert_eq!(framed.get(..2), Some(&[0xff, 0xff][..]));
    }

    #[test]
    fn metadata_cannot_be_moved_into_the_aad() {
        let split = |aad: &[u8], md: &[u8]| {
            framed_aad(
                &Aad::new(aad).unwrap(),
                &CiphertextMetadata::new(md).unwrap(),
            )
        };
        assert_ne!(split(b"ab", b"c"), split(b"abc", b""));
        assert_ne!(split(b"", b"abc"), split(b"abc", b""));
    }

    /// The example of the specification.
    #[test]
    fn integrity_value_of_the_specification() {
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
