//! The requests to the proxy, and the check of responses. Plaintext and AAD of a request follow from its number, so the response to another
//! request is detected.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// A ciphertext of the proxy, as received.
#[derive(Clone)]
pub struct Ciphertext {
    number: u64,
    ciphertext: String,
    iv: String,
    tag: String,
    metadata: String,
}

/// Returns Encrypt: one call of the device.
pub fn encrypt(number: u64) -> Value {
    json!({
        "requestMetadata": metadata("Encrypt"),
        "plaintext": STANDARD.encode(plaintext(number)),
        "encryptionAlgorithm": "AES_GCM",
        "additionalAuthenticatedData": STANDARD.encode(aad(number)),
    })
}

/// Returns Encrypt with the integrity value, for which the proxy also decrypts: two calls of the device.
pub fn encrypt_with_integrity_value(number: u64) -> Value {
    let mut request = encrypt(number);
    if let Some(members) = request.as_object_mut() {
        members.insert(
            "ciphertextDataIntegrityValueAlgorithm".into(),
            "SHA_256".into(),
        );
    }
    request
}

/// Returns Decrypt of a ciphertext.
pub fn decrypt(ciphertext: &Ciphertext) -> Value {
    json!({
        "requestMetadata": metadata("Decrypt"),
        "ciphertext": ciphertext.ciphertext,
        "initializationVector": ciphertext.iv,
        "authenticationTag": ciphertext.tag,
        "ciphertextMetadata": ciphertext.metadata,
        "encryptionAlgorithm": "AES_GCM",
        "additionalAuthenticatedData": STANDARD.encode(aad(ciphertext.number)),
    })
}

/// Returns GetHealthStatus.
pub fn health() -> Value {
    json!({ "requestMetadata": { "kmsRequestId": REQUEST_ID, "kmsOperation": "KmsHealthCheck" } })
}

impl Ciphertext {
    /// Parses the response to `encrypt_with_integrity_value(number)`; none if a length or the integrity value is wrong.
    pub fn from_response(number: u64, body: &[u8]) -> Option<Self> {
        let answer: Value = serde_json::from_slice(body).ok()?;
        let text = |name: &str| answer.get(name).and_then(Value::as_str).map(str::to_owned);
        let ciphertext = Self {
            number,
            ciphertext: text("ciphertext")?,
            iv: text("initializationVector")?,
            tag: text("authenticationTag")?,
            metadata: text("ciphertextMetadata").unwrap_or_default(),
        };
        let claimed = bytes(&text("ciphertextDataIntegrityValue")?)?;
        (ciphertext.integrity_value()?.as_slice() == claimed).then_some(ciphertext)
    }

    /// Returns whether this is the response to `decrypt(self)`.
    pub fn matches(&self, body: &[u8]) -> bool {
        let answer: Option<Value> = serde_json::from_slice(body).ok();
        let opened = answer.as_ref().and_then(|answer| answer.get("plaintext"));
        let opened = opened.and_then(Value::as_str).and_then(bytes);
        opened.as_deref() == Some(plaintext(self.number).as_slice())
    }

    fn integrity_value(&self) -> Option<[u8; 32]> {
        let (ciphertext, tag) = (bytes(&self.ciphertext)?, bytes(&self.tag)?);
        if ciphertext.len() != plaintext(self.number).len() || tag.len() != 16 {
            return None;
        }
        let digest = Sha256::new()
            .chain_update(aad(self.number))
            .chain_update(bytes(&self.metadata)?)
            .chain_update(bytes(&self.iv)?)
            .chain_update(ciphertext)
            .chain_update(tag);
        Some(digest.finalize().into())
    }
}

const REQUEST_ID: &str = "4112f4d6-db54-4af4-ae30-c55a22a8dfae";

fn metadata(operation: &str) -> Value {
    json!({
        "awsPrincipalArn": "arn:aws:iam::111122223333:user/Alice",
        "kmsKeyArn": "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
        "kmsRequestId": REQUEST_ID,
        "kmsOperation": operation,
    })
}

fn plaintext(number: u64) -> [u8; 32] {
    Sha256::digest(format!("plaintext {number}")).into()
}

fn aad(number: u64) -> String {
    format!("request={number}")
}

fn bytes(base64: &str) -> Option<Vec<u8>> {
    STANDARD.decode(base64).ok()
}
