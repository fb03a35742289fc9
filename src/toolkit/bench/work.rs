//! The requests of a run: bodies as KMS sends them, prepared once. Each request gets its own kmsRequestId.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::mix::{RoundRobin, Weights};
use super::plan::Plan;
use crate::partitions::{iam_arn, kms_key_arn};
use crate::sync::poisoned;
use crate::xks::Operation;

/// The placeholder of the kmsRequestId; no other text of a body contains it.
const PLACEHOLDER: &str = "@kmsRequestId@";

/// An account of AWS's documentation.
const ACCOUNT: &str = "111122223333";

/// The fields of an Encrypt response that Decrypt sends back.
const CIPHERTEXT_FIELDS: [&str; 4] = [
    "ciphertext",
    "initializationVector",
    "authenticationTag",
    "ciphertextMetadata",
];

/// The next request.
#[derive(Debug)]
pub struct Job {
    /// The operation.
    pub operation: Operation,
    /// The body.
    pub body: Vec<u8>,
    /// True if the request opens a new connection.
    pub on_new_connection: bool,
    /// The plaintext (Base64) that the response must contain, if it is compared.
    pub expected: Option<String>,
}

/// All request bodies, and the order of the requests.
pub struct Work {
    plan: Plan,
    region: String,
    run: String,
    count: AtomicU64,
    orders: Mutex<Orders>,
    decrypt: HashMap<usize, Template>,
    encrypt: HashMap<usize, Template>,
    plain: [Template; 2],
}

struct Orders {
    operation: RoundRobin<Operation>,
    size: RoundRobin<usize>,
    new_connection: RoundRobin<bool>,
    verify: u32,
}

/// A body with a gap for the kmsRequestId.
#[derive(Clone, Debug, Default)]
struct Template {
    head: String,
    tail: String,
}

impl Work {
    /// Prepares all bodies of a plan except those of Decrypt, which need ciphertexts.
    pub fn new(plan: &Plan, region: &str) -> Self {
        let template = |size| (size, Template::new(&encrypt_body(plan, region, size)));
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let orders = Orders {
            operation: plan.mix.round_robin(),
            size: plan.sizes.round_robin(),
            new_connection: Weights::share(plan.new_connections).round_robin(),
            verify: 0,
        };
        Self {
            run: format!("bench-{:x}", since.map_or(0, |since| since.as_millis())),
            count: AtomicU64::new(0),
            orders: Mutex::new(orders),
            decrypt: HashMap::new(),
            encrypt: plan.sizes.values().map(template).collect(),
            plain: [
                Template::new(&health_body()),
                Template::new(&metadata_body(region)),
            ],
            plan: plan.clone(),
            region: region.to_owned(),
        }
    }

    /// Returns the plaintext lengths for which Decrypt needs a ciphertext.
    pub fn sizes_to_encrypt(&self) -> Vec<usize> {
        let decrypts = self.plan.mix.values().any(|o| o == Operation::Decrypt);
        let sizes = self.plan.sizes.values().filter(|_| decrypts);
        sizes.collect()
    }

    /// Returns an Encrypt body with a plaintext of this length.
    pub fn encrypt_request(&self, size: usize) -> Vec<u8> {
        self.filled(self.encrypt.get(&size))
    }

    /// Stores the response to [`Work::encrypt_request`] for Decrypt.
    ///
    /// # Errors
    /// A message if it is not an Encrypt response.
    pub fn store_ciphertext(&mut self, size: usize, answer: &[u8]) -> Result<(), &'static str> {
        let answer: Value =
            serde_json::from_slice(answer).map_err(|_| "the response is not JSON")?;
        let mut body = decrypt_body(&self.plan, &self.region);
        for field in CIPHERTEXT_FIELDS {
            match (answer.get(field), body.as_object_mut()) {
                (Some(value), Some(body)) => drop(body.insert(field.to_owned(), value.clone())),
                // The metadata is optional.
                _ if field == "ciphertextMetadata" => {}
                _ => return Err("the response is not an Encrypt response"),
            }
        }
        self.decrypt.insert(size, Template::new(&body));
        Ok(())
    }

    /// Returns a GetHealthStatus body, to check that the target works.
    pub fn health(&self) -> Vec<u8> {
        let [health, _] = &self.plain;
        self.filled(Some(health))
    }

    /// Returns the next request.
    pub fn next_job(&self) -> Job {
        let (operation, size, on_new_connection, verify) = self.next_choice();
        let [health, metadata] = &self.plain;
        let template = match operation {
            Operation::Health => Some(health),
            Operation::Metadata => Some(metadata),
            Operation::Encrypt => self.encrypt.get(&size),
            Operation::Decrypt => self.decrypt.get(&size),
        };
        Job {
            operation,
            body: self.filled(template),
            on_new_connection,
            expected: verify.then(|| STANDARD.encode(plaintext(size))),
        }
    }

    fn next_choice(&self) -> (Operation, usize, bool, bool) {
        let mut orders = self.orders.lock().unwrap_or_else(poisoned);
        // The parser of a mix rejects one without weights.
        let operation = orders.operation.next_value().unwrap_or(Operation::Health);
        let size = match operation {
            Operation::Encrypt | Operation::Decrypt => orders.size.next_value().unwrap_or(0),
            Operation::Health | Operation::Metadata => 0,
        };
        let new_connection = orders.new_connection.next_value().unwrap_or(false);
        let every = self.plan.verify_every;
        let verify = operation == Operation::Decrypt && every > 0 && {
            orders.verify += 1;
            (orders.verify - 1).is_multiple_of(every)
        };
        (operation, size, new_connection, verify)
    }

    fn filled(&self, template: Option<&Template>) -> Vec<u8> {
        let Some(Template { head, tail }) = template else {
            return Vec::new();
        };
        let (run, n) = (&self.run, self.count.fetch_add(1, Ordering::Relaxed));
        format!("{head}{run}-{n}{tail}").into_bytes()
    }
}

impl Weights<bool> {
    /// Returns weights with which this share of the values, from 0 to 1, is true.
    fn share(share: f64) -> Self {
        let often = (share.clamp(0.0, 1.0) * 10_000.0).round() as u32;
        Self::new(vec![(true, often), (false, 10_000 - often)])
    }
}

impl Template {
    fn new(body: &Value) -> Self {
        let text = body.to_string();
        let (head, tail) = text.split_once(PLACEHOLDER).unwrap_or((&text, ""));
        Self {
            head: head.to_owned(),
            tail: tail.to_owned(),
        }
    }
}

/// Returns test data that is the same in every run.
fn plaintext(size: usize) -> Vec<u8> {
    (0..size).map(|n| (n * 31 + 7) as u8).collect()
}

fn aad(plan: &Plan) -> String {
    STANDARD.encode(vec![b'a'; plan.aad])
}

fn health_body() -> Value {
    json!({ "requestMetadata": { "kmsOperation": "KmsHealthCheck", "kmsRequestId": PLACEHOLDER } })
}

/// KMS requests metadata for CreateKey only, before the KMS key exists (XKS API 1.0.3).
fn metadata_body(region: &str) -> Value {
    json!({ "requestMetadata": {
        "awsPrincipalArn": iam_arn(region, ACCOUNT, "user/bench"),
        "kmsOperation": "CreateKey",
        "kmsRequestId": PLACEHOLDER,
    } })
}

/// The metadata of Encrypt and Decrypt.
fn request_metadata(operation: &str, region: &str) -> Value {
    json!({
        "awsPrincipalArn": iam_arn(region, ACCOUNT, "user/bench"),
        "kmsKeyArn": kms_key_arn(region, ACCOUNT, "1234abcd-12ab-34cd-56ef-1234567890ab"),
        "kmsOperation": operation,
        "kmsRequestId": PLACEHOLDER,
    })
}

fn encrypt_body(plan: &Plan, region: &str, size: usize) -> Value {
    let mut body = json!({
        "requestMetadata": request_metadata("Encrypt", region),
        "plaintext": STANDARD.encode(plaintext(size)),
        "encryptionAlgorithm": "AES_GCM",
        "additionalAuthenticatedData": aad(plan),
    });
    if let (true, Some(body)) = (plan.integrity, body.as_object_mut()) {
        let name = "ciphertextDataIntegrityValueAlgorithm".to_owned();
        body.insert(name, "SHA_256".into());
    }
    body
}

fn decrypt_body(plan: &Plan, region: &str) -> Value {
    json!({
        "requestMetadata": request_metadata("Decrypt", region),
        "encryptionAlgorithm": "AES_GCM",
        "additionalAuthenticatedData": aad(plan),
    })
}

#[cfg(test)]
mod tests {
    use super::super::mix::{Mix, Sizes};
    use super::super::plan::Shape;
    use super::*;
    use std::time::Duration;

    fn plan(mix: &str, new_connections: f64) -> Plan {
        Plan {
            shape: Shape::Closed,
            duration: Duration::from_secs(1),
            connections: 1,
            timeout: Duration::from_millis(250),
            mix: mix.parse::<Mix>().unwrap(),
            sizes: "0,32".parse::<Sizes>().unwrap(),
            aad: 5,
            integrity: true,
            new_connections,
            verify_every: 2,
        }
    }

    const REGION: &str = "cn-north-1";

    #[test]
    fn arns_are_in_the_partition_of_the_region() {
        let body = encrypt_body(&plan("encrypt", 0.0), REGION, 1);
        let metadata = &body["requestMetadata"];
        let principal = "arn:aws-cn:iam::111122223333:user/bench";
        assert_eq!(metadata["awsPrincipalArn"], principal);
        let key = metadata["kmsKeyArn"].as_str().unwrap();
        assert!(key.starts_with("arn:aws-cn:kms:cn-north-1:"), "{key}");
        let metadata = &metadata_body(REGION)["requestMetadata"];
        assert_eq!(metadata.get("kmsKeyArn"), None);
    }

    #[test]
    fn every_request_has_a_different_id() {
        let work = Work::new(&plan("encrypt,health,metadata", 0.0), REGION);
        let mut ids = std::collections::HashSet::new();
        for _ in 0..30 {
            let body: Value = serde_json::from_slice(&work.next_job().body).unwrap();
            let id = body["requestMetadata"]["kmsRequestId"].as_str().unwrap();
            assert!(ids.insert(id.to_owned()), "{id}");
        }
        assert!(work.sizes_to_encrypt().is_empty());
    }

    #[test]
    fn a_decrypt_has_the_fields_of_the_encrypt_response_and_some_are_compared() {
        let mut work = Work::new(&plan("decrypt", 0.0), REGION);
        assert_eq!(work.sizes_to_encrypt(), [0, 32]);
        assert!(work.store_ciphertext(0, b"<html>").is_err());
        assert!(work.store_ciphertext(0, br#"{"ciphertext":""}"#).is_err());
        let answer =
            br#"{"ciphertext":"QQ==","initializationVector":"Qg==","authenticationTag":"Qw=="}"#;
        for size in [0, 32] {
            work.store_ciphertext(size, answer).unwrap();
        }
        let jobs: Vec<Job> = (0..8).map(|_| work.next_job()).collect();
        let body: Value = serde_json::from_slice(&jobs[0].body).unwrap();
        assert_eq!(body["authenticationTag"], "Qw==");
        assert!(body.get("ciphertextMetadata").is_none());
        assert_eq!(jobs.iter().filter(|job| job.expected.is_some()).count(), 4);
    }

    #[test]
    fn the_share_of_new_connections_is_exact() {
        let work = Work::new(&plan("health", 0.25), REGION);
        let new = (0..1_000).filter(|_| work.next_job().on_new_connection);
        assert_eq!(new.count(), 250);
        let work = Work::new(&plan("health", 0.0), REGION);
        assert!((0..100).all(|_| !work.next_job().on_new_connection));
    }
}
