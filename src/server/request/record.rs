//! The record of one request: the facts that the layers collect, for the access log line, the audit trail and the metrics.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::trace_context::TraceContext;
use crate::audit::Outcome;
use crate::connections::ClientCertificate;
use crate::ekm::CallCount;
use crate::operations::Cost;
use crate::policy::Decision;
use crate::sigv4::AccessKeyId;
use crate::sync::poisoned;
use crate::xks::{ExternalKeyId, Fault, Operation, RequestMetadata};

/// The facts about a request so far. They contain no secret, no plaintext and no body.
#[derive(Debug, Default)]
pub(in crate::server) struct Facts {
    pub client_certificate: ClientCertificate,
    pub operation: Option<Operation>,
    pub key_store: Option<Arc<str>>,
    pub key_id: Option<ExternalKeyId>,
    pub access_key_id: Option<AccessKeyId>,
    pub metadata: Option<Arc<RequestMetadata>>,
    pub cost: Cost,
    pub fault: Option<Fault>,
    /// The decision of the policy, if one was made.
    pub decision: Option<Decision>,
    /// The length of the request's body, once it was read.
    pub request_bytes: Option<u64>,
    pub trace: Option<TraceContext>,
    pub signature: SignatureCheck,
    /// The HSM calls that the request causes.
    pub calls: CallCount,
    /// The time that the response waited for its line in the audit trail.
    pub audited: Option<Duration>,
    /// True if the key store does not list the VPC endpoint of the connection.
    pub is_unlisted_endpoint: bool,
    /// True if the client disconnected before the response was ready.
    pub has_disconnected: bool,
}

impl Facts {
    /// Returns whether the signature is verified. Such a request has its line in access log and audit trail with any outcome.
    pub(in crate::server) fn is_verified(&self) -> bool {
        self.access_key_id.is_some()
    }

    /// Returns the outcome of the request.
    pub(in crate::server) fn outcome(&self) -> Outcome {
        let status = self.fault.as_ref().map(|fault| fault.kind.status());
        match status {
            _ if self.has_disconnected => Outcome::ClientDisconnected,
            None => Outcome::Ok,
            Some(501) => Outcome::Refused,
            Some(500..) => Outcome::Failed,
            Some(_) => Outcome::Refused,
        }
    }
}

/// The result of the check of a request's signature, for the metrics.
#[derive(Debug, Default)]
pub(in crate::server) struct SignatureCheck {
    /// The duration of the check.
    pub took: Duration,
    /// This host's clock minus the client's clock, in seconds; for verified requests only.
    pub skew: Option<f64>,
    /// Why the signature is not valid.
    pub denied: Option<&'static str>,
}

/// A handle to the facts about a request; clones share them.
#[derive(Clone, Debug)]
pub(in crate::server) struct Record(Arc<Mutex<Facts>>);

impl Record {
    /// Starts a record with what is known before the first layer.
    pub(in crate::server) fn new(
        trace: Option<TraceContext>,
        client_certificate: ClientCertificate,
    ) -> Self {
        Self(Arc::new(Mutex::new(Facts {
            trace,
            client_certificate,
            ..Facts::default()
        })))
    }

    /// Locks the facts, to read them or to add to them. Never hold the lock across an await.
    pub(in crate::server) fn facts(&self) -> MutexGuard<'_, Facts> {
        self.0.lock().unwrap_or_else(poisoned)
    }
}
