//! The correct responses of the fake proxy. Its cipher is not secure, but it detects a wrong tag, AAD or metadata as GCM does.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::fake_proxy::Seen;
use crate::harness::wire::{base64, bytes, integrity_value};

/// Returns the status and the body of the correct response.
pub fn honest(seen: &Seen) -> (u16, Value) {
    match seen.operation.as_str() {
        "health" => (200, health("ACTIVE")),
        "metadata" => (
            200,
            json!({"keySpec": "AES_256", "keyUsage": ["ENCRYPT", "DECRYPT"], "keyStatus": "ENABLED"}),
        ),
        "encrypt" => (200, encrypted(&seen.body)),
        _ => decrypted(&seen.body),
    }
}

/// Returns the GetHealthStatus response of a fleet of two.
pub fn health(status: &str) -> Value {
    let one = |id: &str| json!({"id": id, "model": "of paper", "healthStatus": status});
    json!({
        "xksProxyFleetSize": 1,
        "xksProxyVendor": "nobody",
        "xksProxyModel": "fake",
        "ekmVendor": "nobody",
        "ekmFleetDetails": [one("1"), one("2")],
    })
}

const METADATA: &[u8] = b"version=1";
const IV: [u8; 12] = [7; 12];

fn encrypted(body: &Value) -> Value {
    let ciphertext = masked(&bytes(body, "plaintext"));
    let aad = bytes(body, "additionalAuthenticatedData");
    let mut answer = json!({
        "authenticationTag": base64(tag(&ciphertext, &aad, METADATA, &IV)),
        "ciphertext": base64(ciphertext),
        "initializationVector": base64(IV),
        "ciphertextMetadata": base64(METADATA),
    });
    if body["ciphertextDataIntegrityValueAlgorithm"] == "SHA_256" {
        answer["ciphertextDataIntegrityValue"] = integrity_value(&aad, &answer).into();
    }
    answer
}

fn decrypted(body: &Value) -> (u16, Value) {
    let part = |field: &str| bytes(body, field);
    let (aad, metadata) = (
        part("additionalAuthenticatedData"),
        part("ciphertextMetadata"),
    );
    let ciphertext = part("ciphertext");
    let wanted = tag(&ciphertext, &aad, &metadata, &part("initializationVector"));
    if wanted == part("authenticationTag") {
        (200, json!({ "plaintext": base64(masked(&ciphertext)) }))
    } else {
        (400, json!({ "errorName": "InvalidCiphertextException" }))
    }
}

fn masked(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| byte ^ 0x5a).collect()
}

fn tag(ciphertext: &[u8], aad: &[u8], metadata: &[u8], iv: &[u8]) -> Vec<u8> {
    let mut digest = Sha256::new();
    for part in [ciphertext, aad, metadata, iv] {
        digest.update(u32::try_from(part.len()).unwrap().to_be_bytes());
        digest.update(part);
    }
    digest.finalize()[..16].to_vec()
}
