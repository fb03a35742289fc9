//! The bodies of requests as KMS sends them, with ARNs of the partition of the signer's Region.

use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::partitions::{iam_arn, kms_key_arn};

/// An account of AWS's documentation.
const ACCOUNT: &str = "123456789012";

/// The four operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Metadata,
    Encrypt,
    Decrypt,
    Health,
}

impl Op {
    pub(super) const ALL: [Self; 4] = [Self::Metadata, Self::Encrypt, Self::Decrypt, Self::Health];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Metadata => "metadata",
            Self::Encrypt => "encrypt",
            Self::Decrypt => "decrypt",
            Self::Health => "health",
        }
    }
}

/// A decoded Encrypt response.
#[derive(Clone, Debug)]
pub(super) struct Encrypted {
    pub(super) body: Value,
    pub(super) ciphertext: Vec<u8>,
    pub(super) iv: Vec<u8>,
    pub(super) tag: Vec<u8>,
    pub(super) metadata: Vec<u8>,
}

/// Returns a body with `requestMetadata` only.
pub(super) fn plain(region: &str, op: Op) -> Value {
    json!({ "requestMetadata": request_metadata(region, op) })
}

pub(super) fn encrypt(region: &str, plaintext: &[u8]) -> Value {
    json!({
        "requestMetadata": request_metadata(region, Op::Encrypt),
        "plaintext": base64(plaintext),
        "encryptionAlgorithm": "AES_GCM",
    })
}

pub(super) fn decrypt(region: &str, encrypted: &Encrypted) -> Value {
    let mut body = json!({
        "requestMetadata": request_metadata(region, Op::Decrypt),
        "ciphertext": base64(&encrypted.ciphertext),
        "initializationVector": base64(&encrypted.iv),
        "authenticationTag": base64(&encrypted.tag),
        "encryptionAlgorithm": "AES_GCM",
    });
    if !encrypted.metadata.is_empty() {
        set(&mut body, "ciphertextMetadata", base64(&encrypted.metadata));
    }
    body
}

/// The ARNs are of the partition of `region`, the Region of the key store.
fn request_metadata(region: &str, op: Op) -> Value {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let id = format!("conformance-{}-{number}", std::process::id());
    let operation = match op {
        Op::Metadata => "CreateKey",
        Op::Encrypt => "Encrypt",
        Op::Decrypt => "Decrypt",
        Op::Health => "KmsHealthCheck",
    };
    let mut metadata = json!({ "kmsOperation": operation, "kmsRequestId": id });
    if op != Op::Health {
        let principal = iam_arn(region, ACCOUNT, "user/Conformance");
        set(&mut metadata, "awsPrincipalArn", principal);
    }
    if matches!(op, Op::Encrypt | Op::Decrypt) {
        let key = kms_key_arn(region, ACCOUNT, "1234abcd-12ab-34cd-56ef-1234567890ab");
        set(&mut metadata, "kmsKeyArn", key);
    }
    metadata
}

pub(super) fn base64(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

pub(super) fn set(body: &mut Value, field: &str, value: impl Into<Value>) {
    if let Some(object) = body.as_object_mut() {
        object.insert(field.to_owned(), value.into());
    }
}

pub(super) fn unset(body: &mut Value, field: &str) {
    if let Some(object) = body.as_object_mut() {
        object.remove(field);
    }
}

/// Changes `requestMetadata`.
pub(super) fn in_metadata(body: &mut Value, change: impl FnOnce(&mut Value)) {
    if let Some(metadata) = body.get_mut("requestMetadata") {
        change(metadata);
    }
}

pub(super) fn set_aad(body: &mut Value, aad: Option<&[u8]>) {
    if let Some(aad) = aad {
        set(body, "additionalAuthenticatedData", base64(aad));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_are_in_the_partition_of_the_region() {
        let body = encrypt("us-gov-west-1", b"x");
        let metadata = &body["requestMetadata"];
        let principal = "arn:aws-us-gov:iam::123456789012:user/Conformance";
        assert_eq!(metadata["awsPrincipalArn"], principal);
        let key = metadata["kmsKeyArn"].as_str().unwrap();
        assert!(
            key.starts_with("arn:aws-us-gov:kms:us-gov-west-1:"),
            "{key}"
        );
        let metadata = &plain("us-gov-west-1", Op::Metadata)["requestMetadata"];
        assert_eq!(metadata.get("kmsKeyArn"), None);
    }
}
