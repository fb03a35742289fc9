//! The rules of each request body.

use super::*;
use serde_json::{Value, json};

fn encrypt_body() -> Value {
    json!({
        "requestMetadata": {
            "awsPrincipalArn": "arn:aws:iam::123456789012:user/Alice",
            "kmsOperation": "Encrypt",
            "kmsRequestId": "4112f4d6-db54-4af4-ae30-c55a22a8dfae",
            "kmsKeyArn": "arn:aws:kms:us-east-2:123456789012:key/1234abcd",
            "futureField": {"deep": [1]},
        },
        "plaintext": "SGVsbG8gV29ybGQh",
        "encryptionAlgorithm": "AES_GCM",
        "additionalAuthenticatedData": "cHJvamVjdD1uaWxl",
        "ciphertextDataIntegrityValueAlgorithm": "SHA_256",
        "somethingNew": 7,
    })
}

fn kind_of(body: &Value) -> FaultKind {
    EncryptRequest::parse(body.to_string().as_bytes())
        .unwrap_err()
        .kind
}

#[test]
fn a_complete_encrypt_request_is_parsed() {
    let request = EncryptRequest::parse(encrypt_body().to_string().as_bytes()).unwrap();
    assert_eq!(request.plaintext.expose(), b"Hello World!");
    assert_eq!(request.aad.as_bytes(), b"project=nile");
    assert!(request.wants_integrity_value);
    assert_eq!(request.metadata.other.len(), 1, "unknown fields are kept");
}

#[test]
fn optional_fields_may_be_absent_or_null() {
    let mut body = encrypt_body();
    body["additionalAuthenticatedData"] = Value::Null;
    body.as_object_mut()
        .unwrap()
        .remove("ciphertextDataIntegrityValueAlgorithm");
    let request = EncryptRequest::parse(body.to_string().as_bytes()).unwrap();
    assert!(request.aad.as_bytes().is_empty() && !request.wants_integrity_value);
}

#[test]
fn required_fields_are_required() {
    for field in ["requestMetadata", "plaintext", "encryptionAlgorithm"] {
        let mut body = encrypt_body();
        body[field] = Value::Null;
        assert_eq!(kind_of(&body), FaultKind::FieldMissing(field));
        body.as_object_mut().unwrap().remove(field);
        assert_eq!(kind_of(&body), FaultKind::FieldMissing(field));
    }
    for field in [
        "awsPrincipalArn",
        "kmsOperation",
        "kmsRequestId",
        "kmsKeyArn",
    ] {
        for nothing in [Value::Null, json!("")] {
            let mut body = encrypt_body();
            body["requestMetadata"][field] = nothing;
            let FaultKind::FieldMissing(named) = kind_of(&body) else {
                panic!("{field}")
            };
            assert!(named.ends_with(field));
        }
    }
}

#[test]
fn wrong_types_and_duplicates_are_malformed() {
    for (field, wrong) in [
        ("plaintext", json!(7)),
        ("requestMetadata", json!("x")),
        ("encryptionAlgorithm", json!([])),
    ] {
        let mut body = encrypt_body();
        body[field] = wrong;
        assert_eq!(kind_of(&body), FaultKind::BodyMalformed);
    }
    for twice in [
        r#"{"plaintext":"AA==","plaintext":"AA=="}"#,
        r#"{"requestMetadata":{"kmsOperation":"a","kmsOperation":"b"}}"#,
    ] {
        let fault = EncryptRequest::parse(twice.as_bytes()).unwrap_err();
        assert_eq!(fault.kind, FaultKind::BodyMalformed);
    }
}

#[test]
fn errors_never_quote_the_body() {
    let body = br#"{"plaintext": 987654321, "requestMetadata": "TOPSECRET"}"#;
    let fault = EncryptRequest::parse(body).unwrap_err();
    let text = format!("{fault:?} {}", fault.kind.message());
    assert!(
        !text.contains("987654321") && !text.contains("TOPSECRET"),
        "{text}"
    );
}

#[test]
fn unknown_algorithms_and_too_long_values_are_unsupported() {
    let mut body = encrypt_body();
    body["encryptionAlgorithm"] = json!("AES_CBC");
    assert_eq!(
        kind_of(&body),
        FaultKind::AlgorithmUnsupported("encryptionAlgorithm")
    );
    let mut body = encrypt_body();
    body["ciphertextDataIntegrityValueAlgorithm"] = json!("MD5");
    assert_eq!(
        kind_of(&body),
        FaultKind::AlgorithmUnsupported("ciphertextDataIntegrityValueAlgorithm")
    );
    for (field, length) in [
        ("plaintext", MAX_PLAINTEXT),
        ("additionalAuthenticatedData", 65_535),
    ] {
        let mut body = encrypt_body();
        body[field] = json!(crate::xks::bytes::to_base64(&vec![0; length]));
        assert!(EncryptRequest::parse(body.to_string().as_bytes()).is_ok());
        body[field] = json!(crate::xks::bytes::to_base64(&vec![0; length + 1]));
        assert_eq!(kind_of(&body), FaultKind::FieldTooLong(field));
    }
}

#[test]
fn arns_have_at_most_2048_characters() {
    let mut body = encrypt_body();
    body["requestMetadata"]["kmsKeyArn"] = json!("a".repeat(2_048));
    assert!(EncryptRequest::parse(body.to_string().as_bytes()).is_ok());
    body["requestMetadata"]["kmsKeyArn"] = json!("a".repeat(2_049));
    assert_eq!(
        kind_of(&body),
        FaultKind::FieldInvalid("requestMetadata.kmsKeyArn")
    );
}

#[test]
fn the_lengths_in_a_decrypt_request_are_checked() {
    let body = |iv: usize, tag: usize, metadata: usize| {
        let text = |n: usize| crate::xks::bytes::to_base64(&vec![1; n]);
        let mut body = encrypt_body();
        body["ciphertext"] = json!(text(12));
        body["initializationVector"] = json!(text(iv));
        body["authenticationTag"] = json!(text(tag));
        body["ciphertextMetadata"] = json!(text(metadata));
        DecryptRequest::parse(body.to_string().as_bytes()).map_err(|fault| fault.kind)
    };
    assert!(body(12, 16, 20).is_ok() && body(16, 16, 0).is_ok());
    for (iv, tag, metadata) in [
        (0, 16, 0),
        (11, 16, 0),
        (13, 16, 0),
        (15, 16, 0),
        (17, 16, 0),
        (12, 0, 0),
        (12, 15, 0),
        (12, 17, 0),
        (12, 16, 21),
    ] {
        assert_eq!(
            body(iv, tag, metadata).unwrap_err(),
            FaultKind::CiphertextInvalid
        );
    }
}

#[test]
fn health_needs_no_principal_and_metadata_no_key_arn() {
    let health = br#"{"requestMetadata":{"kmsRequestId":"r","kmsOperation":"KmsHealthCheck"}}"#;
    assert!(HealthRequest::parse(health).is_ok());
    assert!(KeyMetadataRequest::parse(health).is_err());
    let metadata =
        br#"{"requestMetadata":{"awsPrincipalArn":"a","kmsRequestId":"r","kmsOperation":"Other"}}"#;
    assert!(KeyMetadataRequest::parse(metadata).is_ok());
    for bad in [
        &b""[..],
        b"[]",
        b"{",
        b"null",
        b"{}",
        b"\xff\xfe",
        br#"[{"kmsRequestId":"r","kmsOperation":"o"}]"#,
    ] {
        assert!(HealthRequest::parse(bad).is_err());
    }
}
