//! A call of an operation on a key: its context, and the checks before the HSM is used.

use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use crate::clock::Deadline;
use crate::connections::ClientCertificate;
use crate::ekm::CallCount;
use crate::json_line::OutsideText;
use crate::keystore::{Key, KeyStore, State};
use crate::policy::{Action, Decision, Policy, PolicyMetrics, Question, Transport};
use crate::xks::{ExternalKeyId, Fault, FaultKind, RequestMetadata};

/// A call of an operation on a key.
pub struct Call<'a> {
    /// The key store whose credential signed the request.
    pub store: &'a KeyStore,
    /// The external key id in the URI.
    pub key_id: &'a ExternalKeyId,
    /// The deadline of the request.
    pub deadline: Deadline,
    /// The metadata that KMS sent.
    pub metadata: &'a RequestMetadata,
    /// The result of client authentication, for the policy.
    pub client_certificate: ClientCertificate,
    /// The properties of the connection, for the policy.
    pub transport: Transport,
    /// The action, for the policy.
    pub action: Action,
    /// The policy; `None`: every verified request is permitted.
    pub policy: Option<&'a Authorization>,
    /// Receives the policy's decision, for the log and the audit trail.
    pub decision: &'a OnceLock<Decision>,
    /// Counts the HSM calls of the request.
    pub calls: &'a CallCount,
}

/// The active policy, and the metrics of its decisions.
#[derive(Clone)]
pub struct Authorization {
    /// The policy.
    pub policy: Policy,
    /// The metrics.
    pub metrics: PolicyMetrics,
}

impl<'a> Call<'a> {
    /// Returns the key if the policy permits the request, and if key store and key are enabled.
    pub(super) fn enabled_key(&self) -> Result<&'a Arc<Key>, Fault> {
        if self.store.state == State::Disabled {
            return Err(FaultKind::KeyStoreDisabled.into());
        }
        let key = self.authorized_key()?;
        match key.state {
            State::Enabled => Ok(key),
            State::Disabled => Err(FaultKind::KeyDisabled.into()),
        }
    }

    /// Returns the key if the policy permits the request. The state of key and key store is not checked.
    pub(super) fn authorized_key(&self) -> Result<&'a Arc<Key>, Fault> {
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
        // Each request has one decision.
        let decision = self.decision.get_or_init(|| decision);
        if !decision.is_allowed {
            let reason = decision.to_string();
            return Err(Fault::because(FaultKind::AccessDenied, reason));
        }
        if !decision.is_permitted() {
            self.warn_about(decision, key);
        }
        Ok(())
    }

    fn warn_about(&self, decision: &Decision, key: &Key) {
        tracing::warn!(
            store = &*self.store.name,
            key = key.id.as_str(),
            kms_request_id = OutsideText::from(&*self.metadata.kms_request_id).as_str(),
            verdict = decision.verdict.as_str(),
            policies = decision.policies.join(", "),
            "the policy would have denied this request"
        );
    }

    /// Counts the request against the quota of the key store, and returns the key.
    fn key(&self) -> Result<&'a Arc<Key>, Fault> {
        let quota = self.store.quota.as_ref();
        if quota.is_some_and(|quota| !quota.take()) {
            return Err(FaultKind::QuotaExceeded.into());
        }
        let key = self.store.keys.get(self.key_id);
        key.ok_or_else(|| FaultKind::KeyUnknown.into())
    }
}
