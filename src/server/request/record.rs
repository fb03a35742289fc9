//! The record of one request: what the layers learn on the way, for the one line in the log and for the metrics.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::trace_context::TraceContext;
use crate::audit::Outcome;
use crate::clock::Deadline;
use crate::connections::ClientCertificate;
use crate::ekm::CallCount;
use crate::operations::Cost;
use crate::policy::Decision;
use crate::sigv4::AccessKeyId;
use crate::sync::poisoned;
use crate::xks::{ExternalKeyId, Fault, Operation, RequestMetadata};

/// What is known of a request so far. Holds no secret, no plaintext and no body.
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
    /// What the policy said, if it was asked.
    pub decision: Option<Decision>,
    /// The length of the request's body, once it was read.
    pub request_bytes: Option<u64>,
    pub trace: Option<TraceContext>,
    pub signature: SignatureCheck,
    /// Until when somebody waits for the answer.
    pub deadline: Option<Deadline>,
    /// The HSM calls that the request causes.
    pub calls: CallCount,
    /// How long the answer waited for its line in the audit trail.
    pub audited: Option<Duration>,
    /// The key store does not list the VPC endpoint of the connection.
    pub is_unlisted_endpoint: bool,
    /// The client has gone before its answer was ready.
    pub has_left: bool,
}

impl Facts {
    /// Whether the signature was verified: then the request has its line in log and audit trail, whatever becomes of it.
    pub(in crate::server) fn is_verified(&self) -> bool {
        self.access_key_id.is_some()
    }

    /// How the request ended.
    pub(in crate::server) fn outcome(&self) -> Outcome {
        let status = self.fault.as_ref().map(|fault| fault.kind.status());
        match status {
            _ if self.has_left => Outcome::ClientDisconnected,
            None => Outcome::Ok,
            Some(501) => Outcome::Refused,
            Some(500..) => Outcome::Failed,
            Some(_) => Outcome::Refused,
        }
    }
}

/// Marks the answer to a request whose signature was not verified, in the extensions of the answer.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct UnverifiedResponse;

/// What came of the check of a request's signature, for the metrics.
#[derive(Debug, Default)]
pub(in crate::server) struct SignatureCheck {
    /// How long it took.
    pub took: Duration,
    /// Our clock less the caller's, in seconds; of verified requests only.
    pub skew: Option<f64>,
    /// Why it does not verify.
    pub denied: Option<&'static str>,
}

/// A handle to the record that travels with the request.
#[derive(Clone, Debug, Default)]
pub(in crate::server) struct Record(Arc<Mutex<Facts>>);

impl Record {
    /// The facts, to read or to add to. Never held across an await.
    pub(in crate::server) fn facts(&self) -> MutexGuard<'_, Facts> {
        self.0.lock().unwrap_or_else(poisoned)
    }
}
