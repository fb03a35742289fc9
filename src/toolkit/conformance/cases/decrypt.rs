//! Section 5, Decrypt: the proxy rejects every change of the ciphertext and its parameters, and wrong lengths.

use super::super::body::{Encrypted, Op, base64, set};
use super::super::case::{Case, must};
use super::super::check;

const AAD: &[u8] = b"project=nile,department=marketing";

type Change = fn(&mut Encrypted);

/// Changes of an Encrypt response.
const CHANGES: [(&str, &str, Change); 12] = [
    (
        "ciphertext-first-bit",
        "the first bit of the ciphertext flipped",
        |s| flip_first(&mut s.ciphertext),
    ),
    (
        "ciphertext-last-bit",
        "the last bit of the ciphertext flipped",
        |s| flip_last(&mut s.ciphertext),
    ),
    (
        "ciphertext-shortened",
        "the last byte of the ciphertext cut off",
        |s| s.ciphertext.truncate(10),
    ),
    ("ciphertext-extended", "one more byte of ciphertext", |s| {
        s.ciphertext.push(0)
    }),
    ("ciphertext-empty", "no ciphertext", |s| {
        s.ciphertext.clear()
    }),
    ("tag-first-bit", "the first bit of the tag flipped", |s| {
        flip_first(&mut s.tag)
    }),
    ("tag-last-bit", "the last bit of the tag flipped", |s| {
        flip_last(&mut s.tag)
    }),
    ("iv-first-bit", "the first bit of the IV flipped", |s| {
        flip_first(&mut s.iv)
    }),
    ("iv-last-bit", "the last bit of the IV flipped", |s| {
        flip_last(&mut s.iv)
    }),
    (
        "iv-of-16-bytes",
        "a different IV, of 16 bytes: its length is valid, its value is not",
        |s| s.iv = vec![7; 16],
    ),
    (
        "metadata-last-bit",
        "the last bit of ciphertextMetadata flipped, or metadata added",
        |s| match s.metadata.is_empty() {
            true => s.metadata.push(1),
            false => flip_last(&mut s.metadata),
        },
    ),
    (
        "metadata-of-20-bytes",
        "other ciphertextMetadata, of 20 bytes",
        |s| s.metadata = vec![0x5a; 20],
    ),
];

/// AADs that differ from the AAD of Encrypt.
const OTHER_AAD: [(&str, Option<&[u8]>); 5] = [
    ("missing", None),
    ("empty", Some(b"")),
    ("changed", Some(b"project=nile,department=marketinG")),
    ("shortened", Some(b"project=nile,department=marketin")),
    ("extended", Some(b"project=nile,department=marketing\0")),
];

pub(super) fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = CHANGES
        .map(|(name, sent, change)| changed(name, sent, change))
        .into();
    for length in [0, 12, 15, 17, 32] {
        cases.push(changed(
            &format!("tag-of-{length}-bytes"),
            &format!("a tag of {length} bytes"),
            move |s| s.tag.resize(length, 0),
        ));
    }
    for length in [0, 8, 11, 13, 15, 17] {
        cases.push(changed(
            &format!("iv-of-{length}-bytes"),
            &format!("an IV of {length} bytes"),
            move |s| s.iv.resize(length, 0),
        ));
    }
    cases.extend(OTHER_AAD.map(|(name, aad)| {
        must(
            "5",
            format!("decrypt-aad-{name}"),
            format!("the AAD {name}"),
            "400 InvalidCiphertextException",
            move |context| {
                context.rejects_changed(&context.encrypt(b"conformance", Some(AAD))?, aad)
            },
        )
    }));
    cases.extend(others());
    cases
}

fn changed(name: &str, sent: &str, change: impl Fn(&mut Encrypted) + 'static) -> Case {
    must(
        "5",
        format!("decrypt-{name}"),
        sent,
        "400 InvalidCiphertextException",
        move |context| {
            let mut encrypted = context.encrypt(b"conformance", Some(AAD))?;
            change(&mut encrypted);
            context.rejects_changed(&encrypted, Some(AAD))
        },
    )
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn others() -> Vec<Case> {
    vec![
        must(
            "5",
            "decrypt-aad-added",
            "an AAD, encrypted without one",
            "400 InvalidCiphertextException",
            |context| context.rejects_changed(&context.encrypt(b"conformance", None)?, Some(AAD)),
        ),
        must(
            "5",
            "decrypt-metadata-removed",
            "no ciphertextMetadata, although Encrypt returned some",
            "400 InvalidCiphertextException",
            |context| {
                let mut encrypted = context.encrypt(b"conformance", Some(AAD))?;
                if encrypted.metadata.is_empty() {
                    return Err(super::super::case_error::CaseError::Skipped(
                        "the proxy returns no ciphertextMetadata".to_owned(),
                    ));
                }
                encrypted.metadata.clear();
                context.rejects_changed(&encrypted, Some(AAD))
            },
        ),
        must(
            "5",
            "decrypt-aad-moved-into-metadata",
            "the last byte of the AAD moved into ciphertextMetadata",
            "400 InvalidCiphertextException",
            |context| {
                let mut encrypted = context.encrypt(b"conformance", Some(AAD))?;
                let (last, rest) = AAD.split_last().unwrap_or((&0, &[]));
                encrypted.metadata.insert(0, *last);
                context.rejects_changed(&encrypted, Some(rest))
            },
        ),
        must(
            "5",
            "decrypt-metadata-of-21-bytes",
            "ciphertextMetadata of 21 bytes",
            "400 InvalidCiphertextException or ValidationException",
            |context| {
                let mut body = context.decrypt_body(&context.encrypt(b"conformance", None)?);
                set(&mut body, "ciphertextMetadata", base64([0x5a; 21]));
                let answer = context.call(Op::Decrypt, context.key(), &body)?;
                check::error(&answer, &[check::INVALID_CIPHERTEXT, check::VALIDATION])
            },
        )
        .advised(),
        must(
            "5",
            "decrypt-by-another-key",
            "a ciphertext of --key, with --second-key",
            "400 InvalidCiphertextException",
            |context| {
                let key = context.second()?;
                let body = context.decrypt_body(&context.encrypt(b"conformance", None)?);
                context.rejected(Op::Decrypt, key, &body, check::INVALID_CIPHERTEXT)
            },
        ),
        must(
            "5",
            "decrypt-twice",
            "the same ciphertext twice",
            "the same plaintext twice",
            |context| {
                let encrypted = context.encrypt(b"conformance", Some(AAD))?;
                for _ in 0..2 {
                    let plaintext = context.decrypt(&encrypted, Some(AAD))?;
                    check::ensure(plaintext == b"conformance", || {
                        "the plaintext differs".to_owned()
                    })?;
                }
                Ok(())
            },
        ),
    ]
}

fn flip_first(bytes: &mut [u8]) {
    if let Some(byte) = bytes.first_mut() {
        *byte ^= 0x80;
    }
}

fn flip_last(bytes: &mut [u8]) {
    if let Some(byte) = bytes.last_mut() {
        *byte ^= 1;
    }
}
