//! Section 3: methods and paths.

use super::super::body::Op;
use super::super::case::{Case, must, should};
use super::super::case_error::StepResult;
use super::super::check;
use super::super::context::Context;

/// Paths below the path of the store that are not an operation.
const UNKNOWN: [(&str, &str); 10] = [
    ("root", ""),
    ("slash", "/"),
    ("health-more", "/health/more"),
    ("health-case", "/Health"),
    ("health-trailing-slash", "/health/"),
    ("keys", "/keys"),
    ("key-without-operation", "/keys/KEY"),
    ("key-unknown-operation", "/keys/KEY/delete"),
    ("key-empty", "/keys//encrypt"),
    ("operation-case", "/keys/KEY/Encrypt"),
];

/// Other spellings of a path that must not lead to a key.
const OTHER_SPELLINGS: [(&str, &str); 5] = [
    ("doubled-slash", "//keys/KEY/metadata"),
    ("dot-segment", "/./keys/KEY/metadata"),
    ("dot-dot-segment", "/keys/x/../KEY/metadata"),
    ("encoded-slash", "/keys%2FKEY/metadata"),
    ("encoded-letter", "/%6beys/KEY/metadata"),
];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for op in Op::ALL {
        for method in ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"] {
            cases.push(must(
                "3",
                format!("method-{}-{}", method.to_lowercase(), op.name()),
                format!("{method} on the URI of {}", op.name()),
                "405 with Allow: POST",
                move |context| not_allowed(context, op, method),
            ));
        }
    }
    for (name, path) in UNKNOWN {
        cases.push(must(
            "3",
            format!("path-{name}"),
            format!("POST …{path}"),
            "404 InvalidUriPathException",
            move |context| {
                let path = format!(
                    "{}{}",
                    context.target.path,
                    path.replace("KEY", context.key())
                );
                not_found(context, &path)
            },
        ));
    }
    for (name, path) in OTHER_SPELLINGS {
        cases.push(should(
            "3",
            format!("path-{name}"),
            format!("POST …{path}"),
            "404 InvalidUriPathException",
            move |context| {
                let path = format!(
                    "{}{}",
                    context.target.path,
                    path.replace("KEY", context.key())
                );
                not_found(context, &path)
            },
        ));
    }
    cases.extend(others());
    cases
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn others() -> Vec<Case> {
    vec![
        must(
            "3",
            "prefix-unknown",
            "health of an unknown prefix",
            "404 InvalidUriPathException",
            |context| not_found(context, "/no-such-store-conformance/kms/xks/v1/health"),
        ),
        must(
            "3",
            "prefix-unknown-unsigned",
            "the same without a signature",
            "404 InvalidUriPathException",
            |context| {
                let path = "/no-such-store-conformance/kms/xks/v1/health";
                let request = context.unsigned(Op::Health, "", "{}").target(path);
                check::error(&context.send(&request)?, &[check::INVALID_PATH])
            },
        ),
        must(
            "3",
            "key-id-of-128-characters",
            "metadata of an unknown key id of 128 characters",
            "404 KeyNotFoundException",
            |context| {
                let key = "k".repeat(128);
                context.rejected(
                    Op::Metadata,
                    &key,
                    &context.plain_body(Op::Metadata),
                    check::KEY_NOT_FOUND,
                )
            },
        ),
        must(
            "3",
            "key-id-of-all-characters",
            "metadata of an unknown key id with . _ and -",
            "404 KeyNotFoundException",
            |context| {
                let key = "No.such_key-0";
                context.rejected(
                    Op::Metadata,
                    key,
                    &context.plain_body(Op::Metadata),
                    check::KEY_NOT_FOUND,
                )
            },
        ),
        should(
            "3",
            "key-id-of-129-characters",
            "metadata of a key id of 129 characters",
            "404 or 400",
            |context| {
                let request = context.signed(
                    Op::Metadata,
                    &"k".repeat(129),
                    context.plain_body(Op::Metadata).to_string(),
                );
                let wanted = [check::INVALID_PATH, check::KEY_NOT_FOUND, check::VALIDATION];
                check::error(&context.send(&request)?, &wanted)
            },
        ),
        should(
            "3",
            "uri-of-5000-characters",
            "a key id of 5,000 characters",
            "a JSON error",
            |context| {
                let request = context.signed(
                    Op::Metadata,
                    &"k".repeat(5_000),
                    context.plain_body(Op::Metadata).to_string(),
                );
                check::shaped(&context.send(&request)?).map(drop)
            },
        ),
    ]
}

fn not_allowed(context: &Context<'_>, op: Op, method: &str) -> StepResult {
    let request = context.unsigned(op, context.key(), "").method(method);
    let answer = context.send(&request)?;
    check::ensure(answer.status == 405, || {
        format!("expected 405, got {}", answer.status)
    })?;
    let allow = answer.value("allow").unwrap_or_default();
    check::ensure(allow == "POST", || format!("Allow is {allow:?}, not POST"))?;
    match method {
        "HEAD" => Ok(()),
        _ => check::shaped(&answer).map(drop),
    }
}

/// Signs the request for this path, so that only the path is wrong.
fn not_found(context: &Context<'_>, path: &str) -> StepResult {
    let body = context.plain_body(Op::Metadata).to_string();
    let request = context.unsigned(Op::Health, "", body).target(path);
    let answer = context.send(&context.target.signer.now().sign(&request))?;
    check::error(&answer, &[check::INVALID_PATH])
}
