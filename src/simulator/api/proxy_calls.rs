//! The four calls of the XKS API, as KMS makes them: each has 250 ms by default and is retried once after a network error. Each attempt
//! is an event and is counted in the metrics.

use serde::Serialize;
use serde_json::json;

use crate::secret::SecretBytes;
use crate::simulator::callers::caller::KmsCall;
use crate::simulator::cloudwatch::{CallMeasurement, StoreName};
use crate::simulator::events::timestamp;
use crate::simulator::kms::Kms;
use crate::simulator::proxy::errors::ProxyError;
use crate::simulator::proxy::link::{CallAttempt, ProxyLink};
use crate::simulator::proxy::responses::{self, HealthCounts};
use crate::simulator::wire::base64;
use crate::simulator::wire::clock::now;
use crate::xks::{Aad, CiphertextMetadata, EncryptedBytes};

/// The maximum number of attempts: one retry.
const ATTEMPTS: u32 = 2;

/// Calls the proxy of one store for one operation of KMS.
pub(in crate::simulator) struct ProxyClient<'a> {
    pub(in crate::simulator) kms: &'a Kms,
    pub(in crate::simulator) link: &'a ProxyLink,
    /// The account of the store.
    pub(in crate::simulator) account: &'a str,
    pub(in crate::simulator) region: &'a str,
    /// The id of the store; none while the store is being created.
    pub(in crate::simulator) store: Option<&'a str>,
    pub(in crate::simulator) kms_operation: &'static str,
    pub(in crate::simulator) request_id: &'a str,
    /// The caller of KMS; none for GetHealthStatus.
    pub(in crate::simulator) principal: Option<&'a str>,
    pub(in crate::simulator) key_arn: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct XksRequestMetadata<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    aws_principal_arn: Option<&'a str>,
    kms_operation: &'a str,
    kms_request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kms_key_arn: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProxyRequestBody<'a> {
    request_metadata: XksRequestMetadata<'a>,
    #[serde(flatten)]
    parameters: Parameters,
}

#[derive(Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
enum Parameters {
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

impl ProxyClient<'_> {
    /// GetHealthStatus.
    pub(in crate::simulator) async fn health(&self) -> Result<HealthCounts, ProxyError> {
        self.call(
            "GetHealthStatus",
            "health",
            Parameters::Nothing {},
            responses::health,
        )
        .await
    }

    /// GetKeyMetadata. The inner result is the reason why KMS cannot use the key, if any.
    pub(in crate::simulator) async fn key_metadata(
        &self,
        key: &str,
    ) -> Result<Result<(), &'static str>, ProxyError> {
        let path = format!("keys/{key}/metadata");
        self.call(
            "GetKeyMetadata",
            &path,
            Parameters::Nothing {},
            responses::key_metadata,
        )
        .await
    }

    /// Encrypt, with a ciphertext data integrity value (CDIV).
    pub(in crate::simulator) async fn encrypt(
        &self,
        key: &str,
        plaintext: &[u8],
        aad: &Aad,
    ) -> Result<(EncryptedBytes, CiphertextMetadata), ProxyError> {
        let parameters = Parameters::Encrypt {
            plaintext: base64(plaintext),
            encryption_algorithm: AES_GCM,
            additional_authenticated_data: base64_unless_empty(aad.as_bytes()),
            ciphertext_data_integrity_value_algorithm: "SHA_256",
        };
        let read = |body: &[u8]| responses::encrypted(body, plaintext.len(), aad);
        self.call("Encrypt", &format!("keys/{key}/encrypt"), parameters, read)
            .await
    }

    /// Decrypt.
    pub(in crate::simulator) async fn decrypt(
        &self,
        key: &str,
        encrypted: &EncryptedBytes,
        metadata: &CiphertextMetadata,
        aad: &Aad,
    ) -> Result<SecretBytes, ProxyError> {
        let parameters = Parameters::Decrypt {
            ciphertext: base64(&encrypted.ciphertext),
            initialization_vector: base64(encrypted.iv.as_bytes()),
            authentication_tag: base64(encrypted.tag.as_bytes()),
            encryption_algorithm: AES_GCM,
            additional_authenticated_data: base64_unless_empty(aad.as_bytes()),
            ciphertext_metadata: base64_unless_empty(metadata.as_bytes()),
        };
        let read = |body: &[u8]| responses::decrypted(body, encrypted.ciphertext.len());
        self.call("Decrypt", &format!("keys/{key}/decrypt"), parameters, read)
            .await
    }

    async fn call<T>(
        &self,
        operation: &'static str,
        path: &str,
        parameters: Parameters,
        read: impl Fn(&[u8]) -> Result<T, ProxyError>,
    ) -> Result<T, ProxyError> {
        let request_metadata = XksRequestMetadata {
            aws_principal_arn: self.principal,
            kms_operation: self.kms_operation,
            kms_request_id: self.request_id,
            kms_key_arn: self.key_arn,
        };
        let request = ProxyRequestBody {
            request_metadata,
            parameters,
        };
        // A struct of strings always serializes.
        let body = serde_json::to_vec(&request).unwrap_or_default();
        let mut number = 1;
        loop {
            let answer = self.attempt(operation, path, &body, number, &read).await;
            match answer {
                Err(error) if error.is_retried() && number < ATTEMPTS && !self.link.is_closed() => {
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
        read: impl Fn(&[u8]) -> Result<T, ProxyError>,
    ) -> Result<T, ProxyError> {
        let attempt = self.link.attempt(path, body, self.kms.timeout).await;
        let answer = match &attempt.outcome {
            Ok((status, body)) => responses::accepted(*status, body.expose()).and_then(read),
            Err(error) => Err(*error),
        };
        self.count(operation, &attempt, answer.as_ref().err().copied());
        self.log(operation, &attempt, number, answer.as_ref().err().copied());
        answer
    }

    fn count(&self, operation: &str, attempt: &CallAttempt, error: Option<ProxyError>) {
        let (metrics, store) = (&self.kms.metrics, self.label());
        if attempt.outcome.is_ok() {
            metrics.record_latency(store, operation, attempt.took.as_secs_f64());
        }
        if let Some(error) = error {
            metrics.record_error(store, operation, error);
        }
        if let Some(certificate) = &attempt.certificate {
            metrics.record_certificate(store, certificate.expires, now());
        }
        self.publish(operation, attempt, error);
    }

    /// Records an attempt in CloudWatch, if the store exists already.
    fn publish(&self, operation: &str, attempt: &CallAttempt, error: Option<ProxyError>) {
        let Some(id) = self.store else { return };
        let store = StoreName {
            account: self.account,
            region: self.region,
            id,
        };
        let has_latency = attempt.outcome.is_ok() || error == Some(ProxyError::TimedOut);
        let measurement = CallMeasurement {
            kms_operation: self.kms_operation,
            xks_operation: operation,
            latency: has_latency.then_some(attempt.took),
            error,
        };
        self.kms.cloudwatch.record_attempt(store, measurement);
        if let Some(certificate) = &attempt.certificate {
            let cloudwatch = &self.kms.cloudwatch;
            cloudwatch.record_certificate(store, certificate.expires, &certificate.name);
        }
    }

    /// The name of the store in metrics and text events.
    fn label(&self) -> &str {
        self.store.unwrap_or("new")
    }

    fn log(&self, operation: &str, attempt: &CallAttempt, number: u32, error: Option<ProxyError>) {
        let outcome = error.map_or("ok", ProxyError::label);
        let status = attempt.outcome.as_ref().ok().map(|(status, _)| *status);
        let took = milliseconds(attempt.took);
        if !self.kms.events.is_json() {
            let (store, operation_of_kms) = (self.label(), self.kms_operation);
            return self.kms.events.emit_line(format!(
                "{} {store} {operation} for {operation_of_kms}, attempt {number}: {outcome} in {took} ms",
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
        self.kms.events.emit_line(event.to_string());
    }
}

impl<'a> ProxyClient<'a> {
    /// Returns a client for calls that KMS makes for itself, without a principal or key.
    pub(in crate::simulator) fn for_health(
        kms: &'a Kms,
        link: &'a ProxyLink,
        store: Option<&'a str>,
        kms_operation: &'static str,
        call: &'a KmsCall,
    ) -> Self {
        Self {
            kms,
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

/// Returns an error if no external key manager of the proxy is usable. KMS treats that as an unreachable proxy.
pub(in crate::simulator) fn check_serving(
    health: HealthCounts,
) -> Result<HealthCounts, ProxyError> {
    match health.is_serving() {
        true => Ok(health),
        false => Err(ProxyError::NotReachable),
    }
}

fn base64_unless_empty(bytes: &[u8]) -> Option<String> {
    (!bytes.is_empty()).then(|| base64(bytes))
}

/// Returns milliseconds, with a resolution of one microsecond.
fn milliseconds(duration: std::time::Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}
