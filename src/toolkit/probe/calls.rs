//! Signed requests: they check the credential, the fleet, the key and the latency of each operation.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::assessment;
use super::findings::Findings;
use super::report::Check;
use crate::client::{Answer, CallError, Caller, Connection, error_text};
use crate::partitions::{iam_arn, kms_key_arn};

/// The checks of [`make`], in order.
pub const CHECKS: [&str; 7] = [
    "credential",
    "clock",
    "health",
    "key",
    "metadata",
    "encrypt",
    "decrypt",
];

/// The checks that need a key.
const KEY_CHECKS: [&str; 4] = ["key", "metadata", "encrypt", "decrypt"];

/// The timeout of a response. It is longer than KMS's 250 ms, so that the probe can report how slow the proxy is.
const PATIENCE: Duration = Duration::from_secs(5);

/// The plaintext: test data.
const PLAINTEXT: &[u8] = b"xks-proxy probe, thirty-two bytes";

/// The fields of an Encrypt response that Decrypt sends back.
const CIPHERTEXT_FIELDS: [&str; 4] = [
    "ciphertext",
    "initializationVector",
    "authenticationTag",
    "ciphertextMetadata",
];

/// A connection that is reopened after a failure.
struct Session<'a> {
    caller: &'a Caller,
    connection: Connection,
    count: u32,
}

/// Makes all checks of this file.
pub async fn make(
    connection: Connection,
    caller: &Caller,
    key: Option<&str>,
    samples: u32,
    findings: &mut Findings<'_>,
) {
    let mut session = Session {
        caller,
        connection,
        count: 0,
    };
    let body = json!({ "requestMetadata": { "kmsOperation": "KmsHealthCheck" } });
    let answer = match session.ask("health", body).await {
        Ok(answer) => answer,
        Err(failure) => {
            findings.add(failure.check("credential"));
            findings.skip(&["clock", "health"], "the health request has no response");
            findings.skip(&KEY_CHECKS, "the health request has no response");
            return;
        }
    };
    findings.add(Check::ok(
        "credential",
        "the signed health request succeeded",
    ));
    findings.add(assessment::clock(clock_difference(&answer.headers)));
    findings.add(assessment::health(answer.body.expose()));
    match key {
        Some(key) => use_key(&mut session, key, samples, findings).await,
        None => findings.skip(&KEY_CHECKS, "no --key was given"),
    }
}

async fn use_key(session: &mut Session<'_>, key: &str, samples: u32, findings: &mut Findings<'_>) {
    let mut took = Vec::new();
    let region = session.caller.signer.region();
    for n in 0..samples {
        let body = json!({ "requestMetadata": create_key_metadata(region) });
        match session.ask(&format!("keys/{key}/metadata"), body).await {
            Ok(answer) => {
                took.push(answer.took);
                if n == 0 {
                    findings.add(assessment::key(answer.body.expose()));
                }
            }
            Err(failure) => {
                let name = if n == 0 { "key" } else { "metadata" };
                findings.add(failure.check(name));
                let rest: &[&str] = if n == 0 {
                    &["metadata", "encrypt", "decrypt"]
                } else {
                    &["encrypt", "decrypt"]
                };
                findings.skip(rest, "the request for the key's metadata failed");
                return;
            }
        }
    }
    findings.add(assessment::latency("metadata", &took));
    round_trips(session, key, samples, findings).await;
}

/// Encrypts and decrypts `samples` times.
async fn round_trips(
    session: &mut Session<'_>,
    key: &str,
    samples: u32,
    findings: &mut Findings<'_>,
) {
    let (mut encrypted, mut decrypted) = (Vec::new(), Vec::new());
    let region = session.caller.signer.region();
    for _ in 0..samples {
        let ciphertext = match session
            .ask(&format!("keys/{key}/encrypt"), encrypt_body(region))
            .await
        {
            Ok(answer) => answer,
            Err(failure) => {
                findings.add(failure.check("encrypt"));
                findings.skip(&["decrypt"], "nothing was encrypted");
                return;
            }
        };
        encrypted.push(ciphertext.took);
        let body = decrypt_body(ciphertext.body.expose(), region);
        match session.ask(&format!("keys/{key}/decrypt"), body).await {
            Ok(answer) if has_plaintext(answer.body.expose()) => decrypted.push(answer.took),
            outcome => {
                findings.add(assessment::latency("encrypt", &encrypted));
                findings.add(
                    outcome
                        .err()
                        .map_or_else(wrong_plaintext, |failure| failure.check("decrypt")),
                );
                return;
            }
        }
    }
    findings.add(assessment::latency("encrypt", &encrypted));
    findings.add(assessment::latency("decrypt", &decrypted));
}

fn wrong_plaintext() -> Check {
    Check::fail(
        "decrypt",
        "the plaintext differs from the encrypted one",
        "do not use this endpoint: its ciphertexts cannot be decrypted",
    )
}

/// The reason why a request failed.
enum Failure {
    Call(CallError),
    Rejected(String),
    TooSlow,
}

impl Session<'_> {
    async fn ask(&mut self, operation: &str, mut body: Value) -> Result<Answer, Failure> {
        self.count += 1;
        let id = format!("xks-proxy-probe-{}-{}", std::process::id(), self.count);
        if let Some(metadata) = body
            .get_mut("requestMetadata")
            .and_then(Value::as_object_mut)
        {
            metadata.insert("kmsRequestId".to_owned(), id.into());
        }
        let call = self.call(operation, body.to_string().into_bytes());
        let answer = timeout(PATIENCE, call)
            .await
            .map_err(|_| Failure::TooSlow)?;
        let answer = answer.map_err(Failure::Call)?;
        match error_text(answer.status, answer.body.expose()) {
            None => Ok(answer),
            Some(name) => Err(Failure::Rejected(name)),
        }
    }

    async fn call(&mut self, operation: &str, body: Vec<u8>) -> Result<Answer, CallError> {
        if !self.connection.is_open() && self.count > 1 {
            self.connection = self.caller.connect().await?;
        }
        self.connection.call(self.caller, operation, body).await
    }
}

impl Failure {
    /// Returns the failed check, with an action.
    fn check(&self, name: &'static str) -> Check {
        match self {
            Self::TooSlow => Check::fail(
                name,
                "no response within 5 s",
                "KMS times out after 250 ms: check the proxy's log and the HSM",
            ),
            Self::Call(error) if error.is_about_client_certificate() => {
                let finding =
                    format!("{error}; the server requires a client certificate that it accepts");
                Check::fail(
                    name,
                    finding,
                    "add --client-certificate and --client-key that the proxy accepts; AWS deprecates mTLS, so KMS may present no certificate: let the proxy serve clients without one (server.tls.client_auth.mode = \"optional\")",
                )
            }
            Self::Call(error) => Check::fail(
                name,
                error.to_string(),
                "check the proxy's log, and all systems on the network path",
            ),
            Self::Rejected(error_name) => Check::fail(name, error_name.clone(), action(error_name)),
        }
    }
}

/// Returns the action for an error of the API (XKS API, "Errors").
fn action(error_name: &str) -> &'static str {
    match error_name {
        "AuthenticationFailedException" => {
            "compare access key id, secret and Region with the store's configuration; check that no system on the path changes headers, and that both clocks are right; the proxy's log contains the reason"
        }
        "InvalidUriPathException" => {
            "compare the path with the store's path_prefix, and check that no system on the path rewrites it"
        }
        "AccessDeniedException" => "run xks-proxy policy explain to find the statement that denies",
        "KeyNotFoundException" => "compare the key id with the store's keys: xks-proxy key list",
        "InvalidStateException" => {
            "the key or the store is disabled, or the key is ambiguous: xks-proxy check-config --hsm"
        }
        "InvalidKeyUsageException" => {
            "KMS needs a key with ENCRYPT and DECRYPT: xks-proxy key list"
        }
        "ThrottlingException" => "check the store's quota and the load on the proxy",
        "DependencyTimeoutException" => "the HSM is too slow: check its latency and load",
        "InternalException" => "the HSM is not available: check the proxy's log",
        _ => {
            "the response does not come from a conforming XKS proxy: check the endpoint, the load balancer and the proxy's log"
        }
    }
}

/// Returns the Date of a response minus our clock, in seconds.
fn clock_difference(headers: &HeaderMap) -> Option<i64> {
    let theirs = headers.get("date")?.to_str().ok()?;
    let form = time::macros::format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    let theirs = time::PrimitiveDateTime::parse(theirs, form)
        .ok()?
        .assume_utc();
    let ours = time::OffsetDateTime::from(SystemTime::now());
    Some((theirs - ours).whole_seconds())
}

/// An account of AWS's documentation.
const ACCOUNT: &str = "111122223333";

/// The metadata of GetKeyMetadata. KMS requests it for CreateKey only, before the KMS key exists (XKS API 1.0.3).
fn create_key_metadata(region: &str) -> Value {
    json!({
        "awsPrincipalArn": iam_arn(region, ACCOUNT, "user/probe"),
        "kmsOperation": "CreateKey",
    })
}

/// The metadata of Encrypt and Decrypt.
fn request_metadata(operation: &str, region: &str) -> Value {
    json!({
        "awsPrincipalArn": iam_arn(region, ACCOUNT, "user/probe"),
        "kmsKeyArn": kms_key_arn(region, ACCOUNT, "1234abcd-12ab-34cd-56ef-1234567890ab"),
        "kmsOperation": operation,
    })
}

fn encrypt_body(region: &str) -> Value {
    json!({
        "requestMetadata": request_metadata("Encrypt", region),
        "plaintext": STANDARD.encode(PLAINTEXT),
        "encryptionAlgorithm": "AES_GCM",
        "ciphertextDataIntegrityValueAlgorithm": "SHA_256",
    })
}

fn decrypt_body(encrypted: &[u8], region: &str) -> Value {
    let encrypted: Value = serde_json::from_slice(encrypted).unwrap_or_default();
    let mut body = json!({
        "requestMetadata": request_metadata("Decrypt", region),
        "encryptionAlgorithm": "AES_GCM",
    });
    for field in CIPHERTEXT_FIELDS {
        if let (Some(value), Some(body)) = (encrypted.get(field), body.as_object_mut()) {
            body.insert(field.to_owned(), value.clone());
        }
    }
    body
}

fn has_plaintext(answer: &[u8]) -> bool {
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    answer.get("plaintext").and_then(Value::as_str) == Some(&STANDARD.encode(PLAINTEXT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_requested_for_create_key_without_a_kms_key() {
        let metadata = create_key_metadata("cn-north-1");
        assert_eq!(metadata["kmsOperation"], "CreateKey");
        assert_eq!(metadata.get("kmsKeyArn"), None);
        let principal = "arn:aws-cn:iam::111122223333:user/probe";
        assert_eq!(metadata["awsPrincipalArn"], principal);
    }

    #[test]
    fn dates() {
        let mut headers = HeaderMap::new();
        assert_eq!(clock_difference(&headers), None);
        headers.insert("date", "yesterday".parse().unwrap());
        assert_eq!(clock_difference(&headers), None);
        headers.insert("date", "Thu, 01 Jan 1970 00:00:00 GMT".parse().unwrap());
        assert!(clock_difference(&headers).unwrap() < -1_700_000_000);
    }

    #[test]
    fn every_error_of_the_api_has_its_own_action() {
        let unknown = action("ValidationException");
        for name in [
            "AuthenticationFailedException",
            "InvalidUriPathException",
            "KeyNotFoundException",
            "ThrottlingException",
        ] {
            assert_ne!(action(name), unknown, "{name}");
        }
    }
}
