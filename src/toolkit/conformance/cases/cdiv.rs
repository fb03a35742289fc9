//! Section 5, the ciphertext data integrity value.

use sha2::{Digest as _, Sha256};

use super::super::body::{Op, set, set_aad};
use super::super::case::{Case, must};
use super::super::check;
use super::super::fault::Judged;
use super::super::scene::Scene;

const FIELD: &str = "ciphertextDataIntegrityValue";

#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn cases() -> Vec<Case> {
    let of = |id: &str, sent: &str, plaintext: usize, aad: Option<usize>| {
        must(
            "5",
            id,
            sent,
            "SHA-256(AAD ‖ MD ‖ IV ‖ ciphertext ‖ tag)",
            move |scene| right(scene, plaintext, aad),
        )
    };
    vec![
        of(
            "cdiv-without-aad",
            "Encrypt with SHA_256, without AAD",
            32,
            None,
        ),
        of(
            "cdiv-with-aad",
            "Encrypt with SHA_256 and an AAD",
            32,
            Some(40),
        ),
        of(
            "cdiv-of-empty-plaintext",
            "Encrypt of nothing with SHA_256",
            0,
            Some(3),
        ),
        of(
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
            |scene| {
                let sealed = scene.encrypt(b"x", None)?;
                check::that(sealed.body.get(FIELD).is_none(), || {
                    format!("{FIELD} was not requested")
                })
            },
        ),
        must(
            "5",
            "cdiv-of-an-encrypt-only-key",
            "Encrypt with SHA_256 by --encrypt-only-key",
            "400 InvalidKeyUsageException",
            |scene| {
                let key = scene.encrypt_only()?;
                let mut body = scene.encrypt_body(b"x");
                set(
                    &mut body,
                    "ciphertextDataIntegrityValueAlgorithm",
                    "SHA_256",
                );
                scene.refused(Op::Encrypt, key, &body, check::INVALID_KEY_USAGE)
            },
        ),
    ]
}

fn right(scene: &Scene<'_>, plaintext: usize, aad: Option<usize>) -> Judged {
    let aad = aad.map(|length| vec![0xa5; length]);
    let mut body = scene.encrypt_body(&vec![7; plaintext]);
    set_aad(&mut body, aad.as_deref());
    set(
        &mut body,
        "ciphertextDataIntegrityValueAlgorithm",
        "SHA_256",
    );
    let sealed = check::sealed(scene.ok(Op::Encrypt, scene.key(), &body)?)?;
    let wanted = Sha256::new()
        .chain_update(aad.unwrap_or_default())
        .chain_update(&sealed.metadata)
        .chain_update(&sealed.iv)
        .chain_update(&sealed.ciphertext)
        .chain_update(&sealed.tag)
        .finalize();
    let found = check::bytes(&sealed.body, FIELD)?;
    check::that(found == wanted.as_slice(), || {
        format!("{FIELD} has a different value")
    })
}
