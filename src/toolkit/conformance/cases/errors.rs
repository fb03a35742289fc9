//! Section 6: the rows of the error table, and the order of the checks.

use super::super::body::{Op, set};
use super::super::case::{Case, must};
use super::super::check;
use super::super::wire::Request;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for op in [Op::Metadata, Op::Encrypt, Op::Decrypt] {
        cases.push(must(
            "6",
            format!("missing-key-{}", op.name()),
            format!("{} with --missing-key", op.name()),
            "404 KeyNotFoundException",
            move |scene| {
                let body = scene.good_body(op)?;
                scene.refused(op, scene.target.keys.missing(), &body, check::KEY_NOT_FOUND)
            },
        ));
    }
    for op in [Op::Encrypt, Op::Decrypt] {
        cases.push(must(
            "6",
            format!("disabled-key-{}", op.name()),
            format!("{} with --disabled-key", op.name()),
            "400 InvalidStateException",
            move |scene| {
                let key = scene.disabled()?;
                scene.refused(op, key, &scene.good_body(op)?, check::INVALID_STATE)
            },
        ));
    }
    cases.extend(usages());
    cases.extend(order());
    cases.extend(odd());
    cases
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn usages() -> Vec<Case> {
    vec![
        must(
            "6",
            "encrypt-only-key-decrypts-not",
            "decrypt with --encrypt-only-key",
            "400 InvalidKeyUsageException",
            |scene| {
                let key = scene.encrypt_only()?;
                scene.refused(
                    Op::Decrypt,
                    key,
                    &scene.good_body(Op::Decrypt)?,
                    check::INVALID_KEY_USAGE,
                )
            },
        ),
        must(
            "6",
            "encrypt-only-key-encrypts",
            "encrypt with --encrypt-only-key",
            "200",
            |scene| {
                let key = scene.encrypt_only()?;
                scene
                    .ok(Op::Encrypt, key, &scene.encrypt_body(b"x"))
                    .map(drop)
            },
        ),
        must(
            "6",
            "decrypt-only-key-encrypts-not",
            "encrypt with --decrypt-only-key",
            "400 InvalidKeyUsageException",
            |scene| {
                let key = scene.decrypt_only()?;
                scene.refused(
                    Op::Encrypt,
                    key,
                    &scene.encrypt_body(b"x"),
                    check::INVALID_KEY_USAGE,
                )
            },
        ),
        must(
            "6",
            "decrypt-only-key-decrypts",
            "decrypt of another key's ciphertext with --decrypt-only-key",
            "400 InvalidCiphertextException",
            |scene| {
                let key = scene.decrypt_only()?;
                scene.refused(
                    Op::Decrypt,
                    key,
                    &scene.good_body(Op::Decrypt)?,
                    check::INVALID_CIPHERTEXT,
                )
            },
        ),
    ]
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn order() -> Vec<Case> {
    let unsigned = |op: Op| {
        must(
            "6",
            format!("unauthenticated-tells-nothing-{}", op.name()),
            format!("{}, unsigned, with --key and with a missing key", op.name()),
            "the same response",
            move |scene| {
                let body = scene.plain_body(op).to_string();
                let there = scene.send(&scene.unsigned(op, scene.key(), body.clone()))?;
                let missing = scene.send(&scene.unsigned(op, scene.target.keys.missing(), body))?;
                check::error(&there, &[check::AUTHENTICATION])?;
                check::error(&missing, &[check::AUTHENTICATION])?;
                check::that(there.body == missing.body, || {
                    "the responses differ".to_owned()
                })
            },
        )
    };
    vec![
        unsigned(Op::Metadata),
        unsigned(Op::Encrypt),
        unsigned(Op::Decrypt),
        must(
            "6",
            "method-before-authentication",
            "an unsigned GET",
            "405",
            |scene| {
                let answer =
                    scene.send(&scene.unsigned(Op::Encrypt, scene.key(), "").method("GET"))?;
                check::that(answer.status == 405, || {
                    format!("expected 405, got {}", answer.status)
                })
            },
        ),
        must(
            "6",
            "authentication-before-body",
            "an unsigned body that is not JSON",
            "401 AuthenticationFailedException",
            |scene| {
                let answer = scene.send(&scene.unsigned(Op::Encrypt, scene.key(), "not JSON"))?;
                check::error(&answer, &[check::AUTHENTICATION])
            },
        ),
        must(
            "6",
            "body-before-key",
            "a malformed body for a missing key",
            "400 ValidationException",
            |scene| {
                let request = scene.signed(Op::Encrypt, scene.target.keys.missing(), "{}");
                check::error(&scene.send(&request)?, &[check::VALIDATION])
            },
        ),
    ]
}

/// Error messages that must not repeat input, and requests with too many header fields.
fn odd() -> Vec<Case> {
    vec![
        must(
            "6",
            "message-without-content",
            "a body whose plaintext is not Base64",
            "an errorMessage that does not repeat the plaintext",
            |scene| {
                let mut body = scene.encrypt_body(b"");
                set(&mut body, "plaintext", "*leaked-plaintext*");
                let answer = scene.call(Op::Encrypt, scene.key(), &body)?;
                let text = String::from_utf8_lossy(&answer.body).into_owned();
                check::that(!text.contains("leaked-plaintext"), || {
                    "the plaintext is in the response".to_owned()
                })
            },
        )
        .advised(),
        must(
            "6",
            "head-of-100-kib",
            "a signed request with 100 KiB of header fields",
            "200, a JSON error, or the end of the connection",
            |scene| {
                let body = scene.plain_body(Op::Health).to_string();
                let mut request: Request = scene.signed(Op::Health, "", body);
                for at in 0..100 {
                    request = request.with(&format!("x-filler-{at}"), &"x".repeat(1_000));
                }
                let mut connection = scene.connect(&scene.target.tls)?;
                match scene.try_on(&mut connection, &request)? {
                    None => Ok(()),
                    Some(answer) if answer.status == 200 || answer.body.is_empty() => Ok(()),
                    Some(answer) => check::shaped(&answer).map(drop),
                }
            },
        ),
    ]
}
