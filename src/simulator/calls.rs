//! The four calls to a proxy as KMS makes them: 250 ms each, once more if that may help, told and counted.

use serde::Serialize;
use serde_json::json;

use super::answers::{self, Health};
use super::caller::Call;
use super::cloudwatch::{Measured, StoreName};
use super::events::timestamp;
use super::faults::ProxyFault;
use super::link::{Attempt, Link};
use super::state::now;
use super::wire::base64;
use super::world::World;
use crate::secret::SecretBytes;
use crate::xks::{Aad, CiphertextMetadata, EncryptedBytes};

/// The first attempt, and the one that KMS makes when it may help.
const ATTEMPTS: u32 = 2;

/// Which operation of KMS asks which store's proxy.
pub(super) struct Asker<'a> {
    pub(super) world: &'a World,
    pub(super) link: &'a Link,
    /// The account of the store.
    pub(super) account: &'a str,
    pub(super) region: &'a str,
    /// The store's id; none while it is being created.
    pub(super) store: Option<&'a str>,
    pub(super) kms_operation: &'static str,
    pub(super) request_id: &'a str,
    /// Whom KMS serves, and with which key; none for health.
    pub(super) principal: Option<&'a str>,
    pub(super) key_arn: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    aws_principal_arn: Option<&'a str>,
    kms_operation: &'a str,
    kms_request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kms_key_arn: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Question<'a> {
    request_metadata: Metadata<'a>,
    #[serde(flatten)]
    what: What,
}

#[derive(Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
enum What {
    Nothing {},
    Encrypt {
        plaintext: String,
        encryption_algorithm: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        additional_authenticated_data: Option<String>,
        ciphertext_data_integrity_value_algorithm: &'static str,
    },
    Decrypt {
        ciphertext: String,
        initialization_vector: String,
        authentication_tag: String,
        encryption_algorithm: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        additional_authenticated_data: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        ciphertext_metadata: Option<String>,
    },
}

const AES_GCM: &str = "AES_GCM";

impl Asker<'_> {
    /// GetHealthStatus.
    pub(super) async fn health(&self) -> Result<Health, ProxyFault> {
        self.ask(
            "GetHealthStatus",
            "health",
            What::Nothing {},
            answers::health,
        )
        .await
    }

    /// GetKeyMetadata: whether KMS can use the key; if not, why.
    pub(super) async fn key_metadata(
        &self,
        key: &str,
    ) -> Result<Result<(), &'static str>, ProxyFault> {
        let path = format!("keys/{key}/metadata");
        self.ask(
            "GetKeyMetadata",
            &path,
            What::Nothing {},
            answers::key_metadata,
        )
        .await
    }

    /// Encrypt, with a CDIV.
    pub(super) async fn encrypt(
        &self,
        key: &str,
        plaintext: &[u8],
        aad: &Aad,
    ) -> Result<(EncryptedBytes, CiphertextMetadata), ProxyFault> {
        let what = What::Encrypt {
            plaintext: base64(plaintext),
            encryption_algorithm: AES_GCM,
            additional_authenticated_data: present(aad.as_bytes()),
            ciphertext_data_integrity_value_algorithm: "SHA_256",
        };
        let read = |body: &[u8]| answers::encrypted(body, plaintext.len(), aad);
        self.ask("Encrypt", &format!("keys/{key}/encrypt"), what, read)
            .await
    }

    /// Decrypt.
    pub(super) async fn decrypt(
        &self,
        key: &str,
        sealed: &EncryptedBytes,
        metadata: &CiphertextMetadata,
        aad: &Aad,
    ) -> Result<SecretBytes, ProxyFault> {
        let what = What::Decrypt {
            ciphertext: base64(&sealed.ciphertext),
            initialization_vector: base64(sealed.iv.as_bytes()),
            authentication_tag: base64(sealed.tag.as_bytes()),
            encryption_algorithm: AES_GCM,
            additional_authenticated_data: present(aad.as_bytes()),
            ciphertext_metadata: present(metadata.as_bytes()),
        };
        let read = |body: &[u8]| answers::decrypted(body, sealed.ciphertext.len());
        self.ask("Decrypt", &format!("keys/{key}/decrypt"), what, read)
            .await
    }

    async fn ask<T>(
        &self,
        operation: &'static str,
        path: &str,
        what: What,
        read: impl Fn(&[u8]) -> Result<T, ProxyFault>,
    ) -> Result<T, ProxyFault> {
        let request_metadata = Metadata {
            aws_principal_arn: self.principal,
            kms_operation: self.kms_operation,
            kms_request_id: self.request_id,
            kms_key_arn: self.key_arn,
        };
        let question = Question {
            request_metadata,
            what,
        };
        // Strings always serialize.
        let body = serde_json::to_vec(&question).unwrap_or_default();
        let mut number = 1;
        loop {
            let answer = self.attempt(operation, path, &body, number, &read).await;
            match answer {
                Err(fault)
                    if fault.is_tried_again() && number < ATTEMPTS && !self.link.is_closed() =>
                {
                    number += 1
                }
                answer => return answer,
            }
        }
    }

    async fn attempt<T>(
        &self,
        operation: &'static str,
        path: &str,
        body: &[u8],
        number: u32,
        read: impl Fn(&[u8]) -> Result<T, ProxyFault>,
    ) -> Result<T, ProxyFault> {
        let attempt = self.link.attempt(path, body, self.world.timeout).await;
        let answer = match &attempt.outcome {
            Ok((status, body)) => answers::accepted(*status, body.expose()).and_then(read),
            Err(fault) => Err(*fault),
        };
        self.count(operation, &attempt, answer.as_ref().err().copied());
        self.tell(operation, &attempt, number, answer.as_ref().err().copied());
        answer
    }

    fn count(&self, operation: &str, attempt: &Attempt, fault: Option<ProxyFault>) {
        let (counters, store) = (&self.world.counters, self.label());
        if attempt.outcome.is_ok() {
            counters.answered(store, operation, attempt.took.as_secs_f64());
        }
        if let Some(fault) = fault {
            counters.failed(store, operation, fault);
        }
        if let Some(shown) = &attempt.shown {
            counters.certificate(store, shown.expires, now());
        }
        self.publish(operation, attempt, fault);
    }

    /// What CloudWatch gets, of stores that exist.
    fn publish(&self, operation: &str, attempt: &Attempt, fault: Option<ProxyFault>) {
        let Some(id) = self.store else { return };
        let store = StoreName {
            account: self.account,
            region: self.region,
            id,
        };
        let has_latency = attempt.outcome.is_ok() || fault == Some(ProxyFault::TimedOut);
        let measured = Measured {
            kms_operation: self.kms_operation,
            xks_operation: operation,
            latency: has_latency.then_some(attempt.took),
            fault,
        };
        self.world.cloudwatch.attempt(store, measured);
        if let Some(shown) = &attempt.shown {
            let cloudwatch = &self.world.cloudwatch;
            cloudwatch.certificate(store, shown.expires, &shown.name);
        }
    }

    /// The store in metrics and for people.
    fn label(&self) -> &str {
        self.store.unwrap_or("new")
    }

    fn tell(&self, operation: &str, attempt: &Attempt, number: u32, fault: Option<ProxyFault>) {
        let outcome = fault.map_or("ok", ProxyFault::word);
        let status = attempt.outcome.as_ref().ok().map(|(status, _)| *status);
        let took = milliseconds(attempt.took);
        if !self.world.events.is_json() {
            let (store, for_what) = (self.label(), self.kms_operation);
            return self.world.events.send(format!(
                "{} {store} {operation} for {for_what}, attempt {number}: {outcome} in {took} ms",
                timestamp()
            ));
        }
        let event = json!({
            "event": "xks_call",
            "time": timestamp(),
            "account": self.account,
            "region": self.region,
            "custom_key_store_id": self.store,
            "kms_operation": self.kms_operation,
            "xks_operation": operation,
            "kms_request_id": self.request_id,
            "attempt": number,
            "outcome": outcome,
            "status": status,
            "new_connection": attempt.connect.is_some(),
            "connect_ms": attempt.connect.map(milliseconds),
            "took_ms": took,
        });
        self.world.events.send(event.to_string());
    }
}

impl<'a> Asker<'a> {
    /// Who asks for health on behalf of a call: KMS itself, for no principal.
    pub(super) fn for_health(
        world: &'a World,
        link: &'a Link,
        store: Option<&'a str>,
        kms_operation: &'static str,
        call: &'a Call,
    ) -> Self {
        Self {
            world,
            link,
            account: &call.caller.account,
            region: &call.caller.region,
            store,
            kms_operation,
            request_id: &call.request_id,
            principal: None,
            key_arn: None,
        }
    }
}

/// The fault of a proxy none of whose key managers serves: it might as well not be there.
pub(super) fn serving(health: Health) -> Result<Health, ProxyFault> {
    match health.is_serving() {
        true => Ok(health),
        false => Err(ProxyFault::NotReachable),
    }
}

fn present(bytes: &[u8]) -> Option<String> {
    (!bytes.is_empty()).then(|| base64(bytes))
}

/// To the microsecond.
fn milliseconds(duration: std::time::Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}
