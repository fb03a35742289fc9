//! Request bodies of the XKS API as KMS sends them, and access to the fields of responses.

use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Encodes as standard Base64 with padding.
pub fn base64(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

/// Decodes a Base64 field of a body; empty if the field is absent.
#[track_caller]
pub fn bytes(body: &Value, field: &str) -> Vec<u8> {
    STANDARD
        .decode(body[field].as_str().unwrap_or_default())
        .expect("canonical Base64")
}

/// Returns a `requestMetadata` with the required fields of the operation, and a new kmsRequestId.
pub fn request_metadata(operation: &str) -> Value {
    let id = format!("request-{}-{}", std::process::id(), next());
    match operation {
        "health" => json!({ "kmsOperation": "KmsHealthCheck", "kmsRequestId": id }),
        "metadata" => json!({
            "awsPrincipalArn": "arn:aws:iam::123456789012:user/Alice",
            "kmsOperation": "DescribeKey",
            "kmsRequestId": id,
        }),
        _ => json!({
            "awsPrincipalArn": "arn:aws:iam::123456789012:user/Alice",
            "kmsOperation": if operation == "decrypt" { "Decrypt" } else { "Encrypt" },
            "kmsKeyArn": "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab",
            "kmsRequestId": id,
        }),
    }
}

/// Returns a body of GetHealthStatus or GetKeyMetadata.
pub fn plain_body(operation: &str) -> Value {
    json!({ "requestMetadata": request_metadata(operation) })
}

/// Returns a body of Encrypt, without AAD.
pub fn encrypt_body(plaintext: &[u8]) -> Value {
    json!({
        "requestMetadata": request_metadata("encrypt"),
        "plaintext": base64(plaintext),
        "encryptionAlgorithm": "AES_GCM",
    })
}

/// Returns a body of Decrypt for a response of Encrypt, without AAD.
pub fn decrypt_body(encrypted: &Value) -> Value {
    let mut body = json!({
        "requestMetadata": request_metadata("decrypt"),
        "encryptionAlgorithm": "AES_GCM",
    });
    for field in [
        "ciphertext",
        "initializationVector",
        "authenticationTag",
        "ciphertextMetadata",
    ] {
        if !encrypted[field].is_null() {
            body[field] = encrypted[field].clone();
        }
    }
    body
}

/// Returns the body with a field set.
pub fn set(body: &Value, field: &str, value: impl Into<Value>) -> Value {
    let mut changed = body.clone();
    changed[field] = value.into();
    changed
}

/// Returns the body without a field.
pub fn unset(body: &Value, field: &str) -> Value {
    let mut changed = body.clone();
    changed
        .as_object_mut()
        .expect("a JSON object")
        .remove(field);
    changed
}

/// Computes the CDIV of an Encrypt response (section 5).
pub fn integrity_value(aad: &[u8], encrypted: &Value) -> String {
    let mut digest = Sha256::new_with_prefix(aad);
    for field in [
        "ciphertextMetadata",
        "initializationVector",
        "ciphertext",
        "authenticationTag",
    ] {
        digest.update(bytes(encrypted, field));
    }
    base64(digest.finalize())
}

fn next() -> u32 {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    NUMBER.fetch_add(1, Ordering::Relaxed)
}
