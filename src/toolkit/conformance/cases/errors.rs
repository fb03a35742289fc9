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
            move |context| {
                let body = context.good_body(op)?;
                context.rejected(
                    op,
                    context.target.keys.missing(),
                    &body,
                    check::KEY_NOT_FOUND,
                )
            },
        ));
    }
    for op in [Op::Encrypt, Op::Decrypt] {
        cases.push(must(
            "6",
            format!("disabled-key-{}", op.name()),
            format!("{} with --disabled-key", op.name()),
            "400 InvalidStateException",
            move |context| {
                let key = context.disabled()?;
                context.rejected(op, key, &context.good_body(op)?, check::INVALID_STATE)
            },
        ));
    }
    cases.extend(usages());
    cases.extend(order());
    cases.extend(unusual_requests());
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
            |context| {
                let key = context.encrypt_only()?;
                context.rejected(
                    Op::Decrypt,
                    key,
                    &context.good_body(Op::Decrypt)?,
                    check::INVALID_KEY_USAGE,
                )
            },
        ),
        must(
            "6",
            "encrypt-only-key-encrypts",
            "encrypt with --encrypt-only-key",
            "200",
            |context| {
                let key = context.encrypt_only()?;
                context
                    .ok(Op::Encrypt, key, &context.encrypt_body(b"x"))
                    .map(drop)
            },
        ),
        must(
            "6",
            "decrypt-only-key-encrypts-not",
            "encrypt with --decrypt-only-key",
            "400 InvalidKeyUsageException",
            |context| {
                let key = context.decrypt_only()?;
                context.rejected(
                    Op::Encrypt,
                    key,
                    &context.encrypt_body(b"x"),
                    check::INVALID_KEY_USAGE,
                )
            },
        ),
        must(
            "6",
            "decrypt-only-key-decrypts",
            "decrypt of another key's ciphertext with --decrypt-only-key",
            "400 InvalidCiphertextException",
            |context| {
                let key = context.decrypt_only()?;
                context.rejected(
                    Op::Decrypt,
                    key,
                    &context.good_body(Op::Decrypt)?,
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
            move |context| {
                let body = context.plain_body(op).to_string();
                let there = context.send(&context.unsigned(op, context.key(), body.clone()))?;
                let missing =
                    context.send(&context.unsigned(op, context.target.keys.missing(), body))?;
                check::error(&there, &[check::AUTHENTICATION])?;
                check::error(&missing, &[check::AUTHENTICATION])?;
                check::ensure(there.body == missing.body, || {
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
            |context| {
                let answer = context.send(
                    &context
                        .unsigned(Op::Encrypt, context.key(), "")
                        .method("GET"),
                )?;
                check::ensure(answer.status == 405, || {
                    format!("expected 405, got {}", answer.status)
                })
            },
        ),
        must(
            "6",
            "authentication-before-body",
            "an unsigned body that is not JSON",
            "401 AuthenticationFailedException",
            |context| {
                let answer =
                    context.send(&context.unsigned(Op::Encrypt, context.key(), "not JSON"))?;
                check::error(&answer, &[check::AUTHENTICATION])
            },
        ),
        must(
            "6",
            "body-before-key",
            "a malformed body for a missing key",
            "400 ValidationException",
            |context| {
                let request = context.signed(Op::Encrypt, context.target.keys.missing(), "{}");
                check::error(&context.send(&request)?, &[check::VALIDATION])
            },
        ),
    ]
}

/// Error messages that must not repeat input, and requests with too many header fields.
fn unusual_requests() -> Vec<Case> {
    vec![
        must(
            "6",
            "message-without-content",
            "a body whose plaintext is not Base64",
            "an errorMessage that does not repeat the plaintext",
            |context| {
                let mut body = context.encrypt_body(b"");
                set(&mut body, "plaintext", "*leaked-plaintext*");
                let answer = context.call(Op::Encrypt, context.key(), &body)?;
                let text = String::from_utf8_lossy(&answer.body).into_owned();
                check::ensure(!text.contains("leaked-plaintext"), || {
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
            |context| {
                let body = context.plain_body(Op::Health).to_string();
                let mut request: Request = context.signed(Op::Health, "", body);
                for at in 0..100 {
                    request = request.with(&format!("x-filler-{at}"), &"x".repeat(1_000));
                }
                let mut connection = context.connect(&context.target.tls)?;
                match context.try_on(&mut connection, &request)? {
                    None => Ok(()),
                    Some(answer) if answer.status == 200 || answer.body.is_empty() => Ok(()),
                    Some(answer) => check::shaped(&answer).map(drop),
                }
            },
        ),
    ]
}
