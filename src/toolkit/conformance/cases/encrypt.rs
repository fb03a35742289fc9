//! Section 5, Encrypt: lengths, limits, and decryption of the result.

use super::super::body::{Op, set_aad};
use super::super::case::{Case, must, should};
use super::super::check;
use super::super::fault::Judged;
use super::super::scene::Scene;

const SIZES: [usize; 11] = [0, 1, 15, 16, 17, 32, 255, 256, 1_024, 4_096, 4_300];

pub(super) fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = SIZES.map(plaintext_of).into();
    cases.extend([1, 16, 255, 256, 4_096, 8_192].map(aad_of));
    cases.extend(lengths());
    cases.extend([
        must(
            "5",
            "encrypt-iv-fresh",
            "the same plaintext eight times",
            "eight different IVs",
            fresh_ivs,
        ),
        must(
            "5",
            "encrypt-hides",
            "a plaintext",
            "a ciphertext that is not the plaintext",
            |scene| {
                let sealed = scene.encrypt(b"sixteen bytes ok", None)?;
                check::that(sealed.ciphertext != b"sixteen bytes ok", || {
                    "the ciphertext is the plaintext".to_owned()
                })
            },
        ),
        should(
            "5",
            "encrypt-empty-aad-is-none",
            "an empty AAD, decrypted without any",
            "the plaintext",
            |scene| {
                let sealed = scene.encrypt(b"x", Some(b""))?;
                scene.decrypt(&sealed, None).map(drop)
            },
        ),
    ]);
    cases.extend(limits());
    cases
}

/// The lengths of the fields of a response.
fn lengths() -> [Case; 4] {
    [
        must(
            "5",
            "encrypt-ciphertext-length",
            "77 bytes of plaintext",
            "77 bytes of ciphertext",
            |scene| {
                let length = scene.encrypt(&[7; 77], None)?.ciphertext.len();
                check::that(length == 77, || {
                    format!("the ciphertext has {length} bytes")
                })
            },
        ),
        must(
            "5",
            "encrypt-iv-length",
            "any plaintext",
            "an IV of 12 or 16 bytes",
            |scene| {
                let length = scene.encrypt(b"x", None)?.iv.len();
                check::that(matches!(length, 12 | 16), || {
                    format!("the IV has {length} bytes")
                })
            },
        ),
        must(
            "5",
            "encrypt-tag-length",
            "any plaintext",
            "a tag of 16 bytes",
            |scene| {
                let length = scene.encrypt(b"x", None)?.tag.len();
                check::that(length == 16, || format!("the tag has {length} bytes"))
            },
        ),
        must(
            "5",
            "encrypt-metadata-length",
            "any plaintext",
            "ciphertextMetadata of at most 20 bytes",
            |scene| {
                let length = scene.encrypt(b"x", None)?.metadata.len();
                check::that(length <= 20, || {
                    format!("ciphertextMetadata has {length} bytes")
                })
            },
        ),
    ]
}

/// The longest inputs that the proxy must accept, and inputs that are too long.
fn limits() -> [Case; 3] {
    [
        must(
            "5",
            "encrypt-aad-of-65536-bytes",
            "an AAD one byte longer than the framing allows",
            "501 UnsupportedOperationException",
            |scene| too_long(scene, 1, 65_536),
        ),
        should(
            "5",
            "encrypt-aad-of-65535-bytes",
            "the longest AAD that the framing allows",
            "200, or 501 UnsupportedOperationException",
            |scene| {
                let mut body = scene.encrypt_body(b"x");
                set_aad(&mut body, Some(&[7; 65_535]));
                let answer = scene.call(Op::Encrypt, scene.key(), &body)?;
                match answer.status {
                    200 => check::success(&answer).map(drop),
                    _ => check::error(&answer, &[check::UNSUPPORTED]),
                }
            },
        ),
        must(
            "5",
            "encrypt-plaintext-of-1-mib",
            "a plaintext of 1 MiB",
            "501 UnsupportedOperationException",
            |scene| too_long(scene, 1 << 20, 0),
        ),
    ]
}

fn plaintext_of(size: usize) -> Case {
    must(
        "5",
        format!("encrypt-plaintext-of-{size}-bytes"),
        format!("{size} bytes, encrypted and decrypted"),
        "the same bytes",
        move |scene| round_trip(scene, &pattern(size), None),
    )
}

fn aad_of(size: usize) -> Case {
    must(
        "5",
        format!("encrypt-aad-of-{size}-bytes"),
        format!("an AAD of {size} bytes, encrypted and decrypted"),
        "the plaintext",
        move |scene| round_trip(scene, b"x", Some(&pattern(size))),
    )
}

/// Every byte value, without a period of the block size.
fn pattern(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at % 251) as u8).collect()
}

fn round_trip(scene: &Scene<'_>, plaintext: &[u8], aad: Option<&[u8]>) -> Judged {
    let sealed = scene.encrypt(plaintext, aad)?;
    let opened = scene.decrypt(&sealed, aad)?;
    check::that(opened == plaintext, || "the plaintext differs".to_owned())
}

fn fresh_ivs(scene: &Scene<'_>) -> Judged {
    let mut ivs = Vec::new();
    for _ in 0..8 {
        ivs.push(scene.encrypt(b"x", None)?.iv);
    }
    ivs.sort();
    ivs.dedup();
    check::that(ivs.len() == 8, || {
        format!("only {} different IVs", ivs.len())
    })
}

fn too_long(scene: &Scene<'_>, plaintext: usize, aad: usize) -> Judged {
    let mut body = scene.encrypt_body(&vec![7; plaintext]);
    set_aad(&mut body, (aad > 0).then(|| vec![7; aad]).as_deref());
    scene.refused(Op::Encrypt, scene.key(), &body, check::UNSUPPORTED)
}
