//! Bodies with a valid signature and framing that break the rules of the contract's sections 4 and 5.

use serde_json::{Value, json};

use crate::harness::wire::{decrypt_body, encrypt_body, plain_body, set, unset};
use crate::harness::{Caller, PAYMENTS, Proxy};

/// The fields that each operation requires: outside requestMetadata, and in it.
const REQUIRED: [(&str, &[&str], &[&str]); 4] = [
    ("health", &[], &["kmsOperation", "kmsRequestId"]),
    (
        "metadata",
        &[],
        &["awsPrincipalArn", "kmsOperation", "kmsRequestId"],
    ),
    (
        "encrypt",
        &["plaintext", "encryptionAlgorithm"],
        &[
            "awsPrincipalArn",
            "kmsOperation",
            "kmsRequestId",
            "kmsKeyArn",
        ],
    ),
    (
        "decrypt",
        &[
            "ciphertext",
            "initializationVector",
            "authenticationTag",
            "encryptionAlgorithm",
        ],
        &[
            "awsPrincipalArn",
            "kmsOperation",
            "kmsRequestId",
            "kmsKeyArn",
        ],
    ),
];

/// Returns a body that the operation accepts.
fn good_body(payments: &Caller<'_>, operation: &str) -> Value {
    match operation {
        "encrypt" => encrypt_body(b"x"),
        "decrypt" => decrypt_body(&payments.encrypt("orders", b"x")),
        _ => plain_body(operation),
    }
}

#[track_caller]
fn assert_invalid(payments: &Caller<'_>, operation: &str, body: impl Into<Vec<u8>>) {
    payments
        .send(operation, "orders", body)
        .assert_error(400, "ValidationException");
}

#[test]
fn an_empty_body_is_a_validation_error() {
    let proxy = Proxy::start();
    for (operation, ..) in REQUIRED {
        assert_invalid(&proxy.caller(&PAYMENTS), operation, "");
    }
}

#[test]
fn a_body_that_is_not_json_is_a_validation_error() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    let good = encrypt_body(b"x").to_string();
    let (before, after) = good.split_once("Alice").unwrap();
    for body in [
        b"x".to_vec(),
        b"{".to_vec(),
        b"plaintext=AA==&encryptionAlgorithm=AES_GCM".to_vec(),
        b"<html></html>".to_vec(),
        vec![0; 100],
        vec![0xff; 100],
        [before.as_bytes(), &[0xc3, 0x28], after.as_bytes()].concat(),
        format!("\u{feff}{good}").into_bytes(),
        format!("{good}{good}").into_bytes(),
        format!("{good}x").into_bytes(),
        good.replace("Alice", "\\ud800").into_bytes(),
        good.replace("Alice", "a\nline").into_bytes(),
        good.replace('"', "'").into_bytes(),
        "[".repeat(60_000).into_bytes(),
        "{\"a\":".repeat(12_000).into_bytes(),
    ] {
        let start = String::from_utf8_lossy(&body)
            .chars()
            .take(60)
            .collect::<String>();
        let response = payments.send("encrypt", "orders", body);
        assert_eq!(response.status, 400, "{start}: {response:?}");
        response.assert_error(400, "ValidationException");
    }
}

#[test]
fn json_that_is_not_an_object_is_a_validation_error() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    let good = encrypt_body(b"x");
    let fields_in_order = json!([
        good["requestMetadata"],
        good["plaintext"],
        "AES_GCM",
        null,
        null
    ]);
    for body in [
        json!(null),
        json!(true),
        json!(1),
        json!("x"),
        json!([]),
        json!([good]),
        fields_in_order,
    ] {
        assert_invalid(&payments, "encrypt", body.to_string());
    }
    let metadata = json!([
        "arn:aws:iam::1:user/Alice",
        "Encrypt",
        "id",
        "arn:aws:kms:a:1:key/1"
    ]);
    assert_invalid(
        &payments,
        "encrypt",
        set(&good, "requestMetadata", metadata).to_string(),
    );
}

#[test]
fn a_required_field_that_is_missing_or_null_is_a_validation_error() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    for (operation, fields, metadata) in REQUIRED {
        let good = good_body(&payments, operation);
        payments.call(operation, "orders", &good).ok();
        for field in fields.iter().chain(&["requestMetadata"]) {
            assert_invalid(&payments, operation, unset(&good, field).to_string());
            assert_invalid(
                &payments,
                operation,
                set(&good, field, Value::Null).to_string(),
            );
        }
        for field in metadata {
            let without = unset(&good["requestMetadata"], field);
            assert_invalid(
                &payments,
                operation,
                set(&good, "requestMetadata", without).to_string(),
            );
            let null = set(&good["requestMetadata"], field, Value::Null);
            assert_invalid(
                &payments,
                operation,
                set(&good, "requestMetadata", null).to_string(),
            );
        }
    }
}

#[test]
fn an_empty_kms_request_id_counts_as_missing() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    for (operation, ..) in REQUIRED {
        let good = good_body(&payments, operation);
        let empty = set(&good["requestMetadata"], "kmsRequestId", "");
        assert_invalid(
            &payments,
            operation,
            set(&good, "requestMetadata", empty).to_string(),
        );
    }
}

#[test]
fn a_field_of_the_wrong_type_is_a_validation_error() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    let optional = ["additionalAuthenticatedData"];
    let optional_metadata = ["kmsViaService", "awsSourceVpc", "awsSourceVpce"];
    for (operation, fields, metadata) in &REQUIRED[2..] {
        let good = good_body(&payments, operation);
        for wrong in [
            json!(1),
            json!(1.5),
            json!(true),
            json!([]),
            json!({}),
            json!(["AA=="]),
        ] {
            for field in fields.iter().chain(&optional) {
                assert_invalid(
                    &payments,
                    operation,
                    set(&good, field, wrong.clone()).to_string(),
                );
            }
            for field in metadata.iter().chain(&optional_metadata) {
                let changed = set(&good["requestMetadata"], field, wrong.clone());
                assert_invalid(
                    &payments,
                    operation,
                    set(&good, "requestMetadata", changed).to_string(),
                );
            }
        }
        for wrong in [json!("x"), json!(1), json!([])] {
            assert_invalid(
                &payments,
                operation,
                set(&good, "requestMetadata", wrong).to_string(),
            );
        }
    }
    let cdiv = set(
        &encrypt_body(b"x"),
        "ciphertextDataIntegrityValueAlgorithm",
        256,
    );
    assert_invalid(&payments, "encrypt", cdiv.to_string());
}

#[test]
fn a_repeated_field_is_a_validation_error() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    for (operation, fields, metadata) in REQUIRED {
        let good = good_body(&payments, operation);
        for field in fields.iter().chain(&["requestMetadata"]) {
            let again = format!("{{\"{field}\":{},", good[field]);
            assert_invalid(
                &payments,
                operation,
                good.to_string().replacen('{', &again, 1),
            );
        }
        for field in metadata {
            let inner = good["requestMetadata"].to_string();
            let again = format!("{{\"{field}\":{},", good["requestMetadata"][field]);
            let twice = inner.replacen('{', &again, 1);
            assert_invalid(
                &payments,
                operation,
                good.to_string().replace(&inner, &twice),
            );
        }
    }
    let twice = "{\"additionalAuthenticatedData\":\"AA==\",\"additionalAuthenticatedData\":null,";
    assert_invalid(
        &payments,
        "encrypt",
        encrypt_body(b"x").to_string().replacen('{', twice, 1),
    );
}

#[test]
fn an_unknown_algorithm_is_unsupported() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    let decrypt = decrypt_body(&payments.encrypt("orders", b"x"));
    for (operation, body) in [("encrypt", encrypt_body(b"x")), ("decrypt", decrypt)] {
        for algorithm in ["AES_CBC", "aes_gcm", "AES_GCM ", ""] {
            let body = set(&body, "encryptionAlgorithm", algorithm);
            let response = payments.call(operation, "orders", &body);
            response.assert_error(501, "UnsupportedOperationException");
        }
    }
    for algorithm in ["SHA_512", "sha_256", "SHA-256", ""] {
        let body = set(
            &encrypt_body(b"x"),
            "ciphertextDataIntegrityValueAlgorithm",
            algorithm,
        );
        let response = payments.call("encrypt", "orders", &body);
        response.assert_error(501, "UnsupportedOperationException");
    }
}
