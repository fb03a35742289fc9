//! Section 3: methods and paths.

use super::super::body::Op;
use super::super::case::{Case, must, should};
use super::super::check;
use super::super::fault::Judged;
use super::super::scene::Scene;

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
const DETOURS: [(&str, &str); 5] = [
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
                move |scene| not_allowed(scene, op, method),
            ));
        }
    }
    for (name, path) in UNKNOWN {
        cases.push(must(
            "3",
            format!("path-{name}"),
            format!("POST …{path}"),
            "404 InvalidUriPathException",
            move |scene| {
                let path = format!("{}{}", scene.target.path, path.replace("KEY", scene.key()));
                not_found(scene, &path)
            },
        ));
    }
    for (name, path) in DETOURS {
        cases.push(should(
            "3",
            format!("path-{name}"),
            format!("POST …{path}"),
            "404 InvalidUriPathException",
            move |scene| {
                let path = format!("{}{}", scene.target.path, path.replace("KEY", scene.key()));
                not_found(scene, &path)
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
            |scene| not_found(scene, "/no-such-store-conformance/kms/xks/v1/health"),
        ),
        must(
            "3",
            "prefix-unknown-unsigned",
            "the same without a signature",
            "404 InvalidUriPathException",
            |scene| {
                let path = "/no-such-store-conformance/kms/xks/v1/health";
                let request = scene.unsigned(Op::Health, "", "{}").target(path);
                check::error(&scene.send(&request)?, &[check::INVALID_PATH])
            },
        ),
        must(
            "3",
            "key-id-of-128-characters",
            "metadata of an unknown key id of 128 characters",
            "404 KeyNotFoundException",
            |scene| {
                let key = "k".repeat(128);
                scene.refused(
                    Op::Metadata,
                    &key,
                    &scene.plain_body(Op::Metadata),
                    check::KEY_NOT_FOUND,
                )
            },
        ),
        must(
            "3",
            "key-id-of-all-characters",
            "metadata of an unknown key id with . _ and -",
            "404 KeyNotFoundException",
            |scene| {
                let key = "No.such_key-0";
                scene.refused(
                    Op::Metadata,
                    key,
                    &scene.plain_body(Op::Metadata),
                    check::KEY_NOT_FOUND,
                )
            },
        ),
        should(
            "3",
            "key-id-of-129-characters",
            "metadata of a key id of 129 characters",
            "404 or 400",
            |scene| {
                let request = scene.signed(
                    Op::Metadata,
                    &"k".repeat(129),
                    scene.plain_body(Op::Metadata).to_string(),
                );
                let wanted = [check::INVALID_PATH, check::KEY_NOT_FOUND, check::VALIDATION];
                check::error(&scene.send(&request)?, &wanted)
            },
        ),
        should(
            "3",
            "uri-of-5000-characters",
            "a key id of 5,000 characters",
            "a JSON error",
            |scene| {
                let request = scene.signed(
                    Op::Metadata,
                    &"k".repeat(5_000),
                    scene.plain_body(Op::Metadata).to_string(),
                );
                check::shaped(&scene.send(&request)?).map(drop)
            },
        ),
    ]
}

fn not_allowed(scene: &Scene<'_>, op: Op, method: &str) -> Judged {
    let request = scene.unsigned(op, scene.key(), "").method(method);
    let answer = scene.send(&request)?;
    check::that(answer.status == 405, || {
        format!("expected 405, got {}", answer.status)
    })?;
    let allow = answer.value("allow").unwrap_or_default();
    check::that(allow == "POST", || format!("Allow is {allow:?}, not POST"))?;
    match method {
        "HEAD" => Ok(()),
        _ => check::shaped(&answer).map(drop),
    }
}

/// Signs the request for this path, so that only the path is wrong.
fn not_found(scene: &Scene<'_>, path: &str) -> Judged {
    let body = scene.plain_body(Op::Metadata).to_string();
    let request = scene.unsigned(Op::Health, "", body).target(path);
    let answer = scene.send(&scene.target.signer.now().sign(&request))?;
    check::error(&answer, &[check::INVALID_PATH])
}
