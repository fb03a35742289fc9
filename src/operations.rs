//! The four operations of the API, without HTTP and without PKCS#11 (XKS API, "Operations").
//!
//! By the time a request is here, its path is known and its signature verified. The checks that remain are made in the
//! specification's order: key store state → quota → key lookup → policy → key state and usage → HSM.
//!
//! # Invariants
//! - What is answered to Encrypt with a CDIV has been decrypted once from the very buffers that are sent.
//! - A device's fault is never reported as a bad ciphertext, nor the other way round: see `faults`.

mod decrypt;
mod encrypt;
mod faults;
mod health;
mod metadata;

use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use crate::clock::Deadline;
use crate::connections::ClientCertificate;
use crate::ekm::{CallCount, Served};
use crate::json_line::OutsideText;
use crate::keystore::{Key, KeyStore, State};
use crate::policy::{Action, Decision, Policy, PolicyMetrics, Question, Transport};
use crate::xks::{ExternalKeyId, Fault, FaultKind, KeyVersion, RequestMetadata};

pub use decrypt::decrypt;
pub use encrypt::encrypt;
pub use health::health;
pub use metadata::key_metadata;

/// A key of a store, and until when its answer is waited for.
pub struct Call<'a> {
    /// The store whose credential signed the request.
    pub store: &'a KeyStore,
    /// The key that the URI names.
    pub key_id: &'a ExternalKeyId,
    /// The request's one deadline.
    pub deadline: Deadline,
    /// Who asks, as KMS says.
    pub metadata: &'a RequestMetadata,
    /// What the connection has shown of its client, for the policy.
    pub client_certificate: ClientCertificate,
    /// How it came, for the policy.
    pub transport: Transport,
    /// What is asked, for the policy.
    pub action: Action,
    /// The rules; none: every verified request is served.
    pub policy: Option<&'a Authorization>,
    /// Where the policy's decision is left for the log and the audit trail.
    pub decision: &'a OnceLock<Decision>,
    /// Counts the HSM calls of the request.
    pub calls: &'a CallCount,
}

/// The policy in force, and where its decisions are counted.
#[derive(Clone)]
pub struct Authorization {
    /// The rules.
    pub policy: Policy,
    /// The counter.
    pub metrics: PolicyMetrics,
}

/// An answer with what the log line and the metrics want to know of it.
#[derive(Debug)]
pub struct Answer<T> {
    /// The answer.
    pub value: T,
    /// Who served it; none for health, which asks no device.
    pub cost: Cost,
}

/// What an answer took of the devices.
#[derive(Clone, Debug, Default)]
pub struct Cost {
    /// The device that served.
    pub device: Option<Arc<str>>,
    /// Waiting for it, all jobs together.
    pub queued: Duration,
    /// Its work, all jobs together.
    pub worked: Duration,
    /// The version of the key that was used.
    pub key_version: Option<KeyVersion>,
    /// Whether the ciphertext was one that AWS's sample proxy has made.
    pub is_legacy: bool,
}

impl Cost {
    /// Nothing yet, with this version of the key.
    fn of_version(version: KeyVersion) -> Self {
        Self {
            key_version: Some(version),
            ..Self::default()
        }
    }

    /// Adds a job's cost and gives its value.
    fn add<T>(&mut self, served: Served<T>) -> T {
        self.device = Some(served.device);
        self.queued += served.queued;
        self.worked += served.worked;
        served.value
    }
}

impl<'a> Call<'a> {
    /// The key, if it and its store may be used.
    fn enabled_key(&self) -> Result<&'a Arc<Key>, Fault> {
        if self.store.state == State::Disabled {
            return Err(FaultKind::KeyStoreDisabled.into());
        }
        let key = self.authorized_key()?;
        match key.state {
            State::Enabled => Ok(key),
            State::Disabled => Err(FaultKind::KeyDisabled.into()),
        }
    }

    /// The key, if the policy lets this request have it.
    fn authorized_key(&self) -> Result<&'a Arc<Key>, Fault> {
        let key = self.key()?;
        self.authorize(key)?;
        Ok(key)
    }

    fn authorize(&self, key: &Key) -> Result<(), Fault> {
        let Some(Authorization { policy, metrics }) = self.policy else {
            return Ok(());
        };
        let decision = policy.decide(&Question {
            action: self.action,
            store: &self.store.name,
            region: &self.store.region,
            key: key.id.as_str(),
            labels: &key.labels,
            tags: &key.tags,
            metadata: self.metadata,
            client_certificate: self.client_certificate,
            transport: self.transport,
            now: SystemTime::now(),
        });
        metrics.count(&self.store.name, &decision);
        // Each request is decided once.
        let decision = self.decision.get_or_init(|| decision);
        if !decision.is_allowed {
            let reason = decision.to_string();
            return Err(Fault::because(FaultKind::AccessDenied, reason));
        }
        if !decision.is_permitted() {
            self.warn_of(decision, key);
        }
        Ok(())
    }

    fn warn_of(&self, decision: &Decision, key: &Key) {
        tracing::warn!(
            store = &*self.store.name,
            key = key.id.as_str(),
            kms_request_id = OutsideText::from(&*self.metadata.kms_request_id).as_str(),
            verdict = decision.verdict.as_str(),
            policies = decision.policies.join(", "),
            "the policy would have denied this request"
        );
    }

    /// The key, if there is one; takes the request from the store's quota.
    fn key(&self) -> Result<&'a Arc<Key>, Fault> {
        let quota = self.store.quota.as_ref();
        if quota.is_some_and(|quota| !quota.take()) {
            return Err(FaultKind::QuotaExceeded.into());
        }
        let key = self.store.keys.get(self.key_id);
        key.ok_or_else(|| FaultKind::KeyUnknown.into())
    }
}

#[cfg(test)]
mod tests;
