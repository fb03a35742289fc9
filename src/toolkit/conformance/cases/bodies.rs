//! Section 5, the form of bodies: valid and invalid JSON, and fields that are missing, repeated or of a wrong type.

use serde_json::{Value, json};

use super::super::body::{Op, set, unset};
use super::super::case::{Case, must};
use super::super::check;

/// The required fields of each operation besides requestMetadata.
const REQUIRED: [(Op, &[&str]); 2] = [
    (Op::Encrypt, &["plaintext", "encryptionAlgorithm"]),
    (
        Op::Decrypt,
        &[
            "ciphertext",
            "initializationVector",
            "authenticationTag",
            "encryptionAlgorithm",
        ],
    ),
];

const OPTIONAL: [(Op, &str); 4] = [
    (Op::Encrypt, "additionalAuthenticatedData"),
    (Op::Encrypt, "ciphertextDataIntegrityValueAlgorithm"),
    (Op::Decrypt, "additionalAuthenticatedData"),
    (Op::Decrypt, "ciphertextMetadata"),
];

/// Bodies that are not a JSON object of the API.
const NOT_JSON: [(&str, &[u8]); 10] = [
    ("empty", b""),
    ("brace", b"{"),
    ("null", b"null"),
    ("array", b"[]"),
    ("string", b"\"x\""),
    ("html", b"<html></html>"),
    ("form", b"plaintext=AA==&encryptionAlgorithm=AES_GCM"),
    ("not-utf-8", b"{\"requestMetadata\":\"\xc3\x28\"}"),
    ("zeros", &[0; 64]),
    ("lone-surrogate", br#"{"requestMetadata":"\ud800"}"#),
];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (op, fields) in REQUIRED {
        for &field in fields {
            cases.push(invalid(op, field, "missing", |body, field| {
                unset(body, field)
            }));
            cases.push(invalid(op, field, "null", |body, field| {
                set(body, field, Value::Null)
            }));
            cases.extend(wrong_types(op, field));
        }
    }
    cases.extend(
        OPTIONAL
            .iter()
            .flat_map(|&(op, field)| wrong_types(op, field)),
    );
    cases.extend(algorithms());
    cases.extend(NOT_JSON.map(|(name, bytes)| {
        raw(
            format!("body-{name}"),
            format!("a body that is not a JSON object: {name}"),
            move |_| bytes.to_vec(),
        )
    }));
    cases.extend(malformed());
    cases.extend(unusual());
    cases
}

/// JSON that is damaged, repeated or too deep.
fn malformed() -> Vec<Case> {
    let twice = |good: &str| {
        good.replacen('{', "{\"plaintext\":\"AAAA\",", 1)
            .into_bytes()
    };
    vec![
        raw(
            "body-trailing-garbage",
            "a valid body and an x after it",
            |good| format!("{good}x").into_bytes(),
        ),
        raw("body-twice", "a valid body twice", |good| {
            format!("{good}{good}").into_bytes()
        }),
        raw("body-deep", "a body of 10,000 nested arrays", |_| {
            "[".repeat(10_000).into_bytes()
        }),
        raw("body-field-twice", "a body with plaintext twice", twice).advised(),
    ]
}

/// JSON in an unusual but valid form.
fn unusual() -> Vec<Case> {
    vec![
        accepted("body-whitespace", "a body with much white space", |good| {
            format!(
                " \r\n\t{} \n",
                good.replace(',', " ,\n\t").replace("\":", "\" : ")
            )
        }),
        accepted(
            "body-escapes",
            "field names and values with JSON escapes",
            |good| {
                good.replace("plaintext", "\\u0070laintext")
                    .replace("AES_GCM", "\\u0041ES_GCM")
            },
        ),
    ]
}

fn wrong_types(op: Op, field: &'static str) -> Vec<Case> {
    vec![
        invalid(op, field, "number", |body, field| set(body, field, 7)),
        invalid(op, field, "array", |body, field| {
            set(body, field, json!(["AAAA"]))
        }),
        invalid(op, field, "object", |body, field| {
            set(body, field, json!({ "x": "AAAA" }))
        }),
        invalid(op, field, "boolean", |body, field| set(body, field, true)),
    ]
}

fn invalid(op: Op, field: &'static str, how: &str, change: fn(&mut Value, &str)) -> Case {
    let name = op.name();
    must(
        "5",
        format!("{name}-{field}-{how}"),
        format!("{name} with {field}: {how}"),
        "400 ValidationException",
        move |context| {
            let mut body = context.good_body(op)?;
            change(&mut body, field);
            context.rejected(op, context.key(), &body, check::VALIDATION)
        },
    )
}

fn algorithms() -> Vec<Case> {
    let unknown = |op: Op, field: &'static str, value: &'static str| {
        let name = op.name();
        must(
            "5",
            format!("{name}-{field}-unknown"),
            format!("{name} with {field} {value}"),
            "501 UnsupportedOperationException",
            move |context| {
                let mut body = context.good_body(op)?;
                set(&mut body, field, value);
                context.rejected(op, context.key(), &body, check::UNSUPPORTED)
            },
        )
    };
    vec![
        unknown(Op::Encrypt, "encryptionAlgorithm", "AES_CBC"),
        unknown(Op::Decrypt, "encryptionAlgorithm", "AES_CBC"),
        unknown(Op::Encrypt, "ciphertextDataIntegrityValueAlgorithm", "MD5"),
    ]
}

fn raw(
    id: impl Into<String>,
    sent: impl Into<String>,
    make: impl Fn(&str) -> Vec<u8> + 'static,
) -> Case {
    must("5", id, sent, "400 ValidationException", move |context| {
        let good = context.encrypt_body(b"conformance").to_string();
        let request = context.signed(Op::Encrypt, context.key(), make(&good));
        check::error(&context.send(&request)?, &[check::VALIDATION])
    })
}

fn accepted(id: &str, sent: &str, make: impl Fn(&str) -> String + 'static) -> Case {
    must("5", id, sent, "200", move |context| {
        let good = context.encrypt_body(b"conformance").to_string();
        let request = context.signed(Op::Encrypt, context.key(), make(&good));
        check::success(&context.send(&request)?).map(drop)
    })
}
