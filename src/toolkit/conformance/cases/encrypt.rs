//! Section 5, Encrypt: lengths, limits, and decryption of the result.

use super::super::body::{Op, set_aad};
use super::super::case::{Case, must, should};
use super::super::case_error::StepResult;
use super::super::check;
use super::super::context::Context;

const SIZES: [usize; 11] = [0, 1, 15, 16, 17, 32, 255, 256, 1_024, 4_096, 4_300];

pub(super) fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = SIZES.map(plaintext_case).into();
    cases.extend([1, 16, 255, 256, 4_096, 8_192].map(aad_case));
    cases.extend(lengths());
    cases.extend([
        must(
            "5",
            "encrypt-iv-fresh",
            "the same plaintext eight times",
            "eight different IVs",
            different_ivs,
        ),
        must(
            "5",
            "encrypt-hides",
            "a plaintext",
            "a ciphertext that is not the plaintext",
            |context| {
                let encrypted = context.encrypt(b"sixteen bytes ok", None)?;
                check::ensure(encrypted.ciphertext != b"sixteen bytes ok", || {
                    "the ciphertext is the plaintext".to_owned()
                })
            },
        ),
        should(
            "5",
            "encrypt-empty-aad-is-none",
            "an empty AAD, decrypted without any",
            "the plaintext",
            |context| {
                let encrypted = context.encrypt(b"x", Some(b""))?;
                context.decrypt(&encrypted, None).map(drop)
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
            |context| {
                let length = context.encrypt(&[7; 77], None)?.ciphertext.len();
                check::ensure(length == 77, || {
                    format!("the ciphertext has {length} bytes")
                })
            },
        ),
        must(
            "5",
            "encrypt-iv-length",
            "any plaintext",
            "an IV of 12 or 16 bytes",
            |context| {
                let length = context.encrypt(b"x", None)?.iv.len();
                check::ensure(matches!(length, 12 | 16), || {
                    format!("the IV has {length} bytes")
                })
            },
        ),
        must(
            "5",
            "encrypt-tag-length",
            "any plaintext",
            "a tag of 16 bytes",
            |context| {
                let length = context.encrypt(b"x", None)?.tag.len();
                check::ensure(length == 16, || format!("the tag has {length} bytes"))
            },
        ),
        must(
            "5",
            "encrypt-metadata-length",
            "any plaintext",
            "ciphertextMetadata of at most 20 bytes",
            |context| {
                let length = context.encrypt(b"x", None)?.metadata.len();
                check::ensure(length <= 20, || {
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
            |context| too_long(context, 1, 65_536),
        ),
        should(
            "5",
            "encrypt-aad-of-65535-bytes",
            "the longest AAD that the framing allows",
            "200, or 501 UnsupportedOperationException",
            |context| {
                let mut body = context.encrypt_body(b"x");
                set_aad(&mut body, Some(&[7; 65_535]));
                let answer = context.call(Op::Encrypt, context.key(), &body)?;
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
            |context| too_long(context, 1 << 20, 0),
        ),
    ]
}

fn plaintext_case(size: usize) -> Case {
    must(
        "5",
        format!("encrypt-plaintext-of-{size}-bytes"),
        format!("{size} bytes, encrypted and decrypted"),
        "the same bytes",
        move |context| round_trip(context, &pattern(size), None),
    )
}

fn aad_case(size: usize) -> Case {
    must(
        "5",
        format!("encrypt-aad-of-{size}-bytes"),
        format!("an AAD of {size} bytes, encrypted and decrypted"),
        "the plaintext",
        move |context| round_trip(context, b"x", Some(&pattern(size))),
    )
}

/// Every byte value, without a period of the block size.
fn pattern(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at % 251) as u8).collect()
}

fn round_trip(context: &Context<'_>, plaintext: &[u8], aad: Option<&[u8]>) -> StepResult {
    let encrypted = context.encrypt(plaintext, aad)?;
    let opened = context.decrypt(&encrypted, aad)?;
    check::ensure(opened == plaintext, || "the plaintext differs".to_owned())
}

fn different_ivs(context: &Context<'_>) -> StepResult {
    let mut ivs = Vec::new();
    for _ in 0..8 {
        ivs.push(context.encrypt(b"x", None)?.iv);
    }
    ivs.sort();
    ivs.dedup();
    check::ensure(ivs.len() == 8, || {
        format!("only {} different IVs", ivs.len())
    })
}

fn too_long(context: &Context<'_>, plaintext: usize, aad: usize) -> StepResult {
    let mut body = context.encrypt_body(&vec![7; plaintext]);
    set_aad(&mut body, (aad > 0).then(|| vec![7; aad]).as_deref());
    context.rejected(Op::Encrypt, context.key(), &body, check::UNSUPPORTED)
}
