//! Section 5, the ciphertext data integrity value.

use sha2::{Digest as _, Sha256};

use super::super::body::{Op, set, set_aad};
use super::super::case::{Case, must};
use super::super::case_error::StepResult;
use super::super::check;
use super::super::context::Context;

const FIELD: &str = "ciphertextDataIntegrityValue";

#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn cases() -> Vec<Case> {
    let cdiv_case = |id: &str, sent: &str, plaintext: usize, aad: Option<usize>| {
        must(
            "5",
            id,
            sent,
            "SHA-256(AAD ‖ MD ‖ IV ‖ ciphertext ‖ tag)",
            move |context| has_correct_cdiv(context, plaintext, aad),
        )
    };
    vec![
        cdiv_case(
            "cdiv-without-aad",
            "Encrypt with SHA_256, without AAD",
            32,
            None,
        ),
        cdiv_case(
            "cdiv-with-aad",
            "Encrypt with SHA_256 and an AAD",
            32,
            Some(40),
        ),
        cdiv_case(
            "cdiv-of-empty-plaintext",
            "Encrypt of nothing with SHA_256",
            0,
            Some(3),
        ),
        cdiv_case(
            "cdiv-of-the-longest",
            "Encrypt of 4,300 bytes with SHA_256 and an AAD of 8,192",
            4_300,
            Some(8_192),
        ),
        must(
            "5",
            "cdiv-not-asked-for",
            "Encrypt without ciphertextDataIntegrityValueAlgorithm",
            "no CDIV",
            |context| {
                let encrypted = context.encrypt(b"x", None)?;
                check::ensure(encrypted.body.get(FIELD).is_none(), || {
                    format!("{FIELD} was not requested")
                })
            },
        ),
        must(
            "5",
            "cdiv-of-an-encrypt-only-key",
            "Encrypt with SHA_256 by --encrypt-only-key",
            "400 InvalidKeyUsageException",
            |context| {
                let key = context.encrypt_only()?;
                let mut body = context.encrypt_body(b"x");
                set(
                    &mut body,
                    "ciphertextDataIntegrityValueAlgorithm",
                    "SHA_256",
                );
                context.rejected(Op::Encrypt, key, &body, check::INVALID_KEY_USAGE)
            },
        ),
    ]
}

fn has_correct_cdiv(context: &Context<'_>, plaintext: usize, aad: Option<usize>) -> StepResult {
    let aad = aad.map(|length| vec![0xa5; length]);
    let mut body = context.encrypt_body(&vec![7; plaintext]);
    set_aad(&mut body, aad.as_deref());
    set(
        &mut body,
        "ciphertextDataIntegrityValueAlgorithm",
        "SHA_256",
    );
    let encrypted = check::encrypted(context.ok(Op::Encrypt, context.key(), &body)?)?;
    let wanted = Sha256::new()
        .chain_update(aad.unwrap_or_default())
        .chain_update(&encrypted.metadata)
        .chain_update(&encrypted.iv)
        .chain_update(&encrypted.ciphertext)
        .chain_update(&encrypted.tag)
        .finalize();
    let found = check::bytes(&encrypted.body, FIELD)?;
    check::ensure(found == wanted.as_slice(), || {
        format!("{FIELD} has a different value")
    })
}
