//! The record of one request: what the layers learn on the way, for the one line in the log and for the metrics.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::strangers::Owner;
use super::trace_context::TraceContext;
use crate::audit::Outcome;
use crate::clock::Deadline;
use crate::connections::{ClientCertificate, Handle, Source, Standing};
use crate::ekm::CallCount;
use crate::operations::Cost;
use crate::policy::{Decision, Transport};
use crate::proxy_protocol::{Proxied, VpcEndpointId};
use crate::sigv4::AccessKeyId;
use crate::sync::poisoned;
use crate::xks::{ExternalKeyId, Fault, Operation, RequestMetadata};

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    /// Its address: the other end of the socket.
    pub address: SocketAddr,
    /// The client that a load balancer relays, as its PROXY header says.
    pub client: Option<Proxied>,
    /// What limits and aggregated log lines count it under.
    pub source: Source,
    /// What it has shown of its client.
    pub certificate: ClientCertificate,
    /// The subject of its certificate, if that is verified.
    pub subject: Option<Arc<str>>,
    /// Its connection.
    pub connection: Handle,
}

impl Peer {
    /// The client's address in the PROXY header.
    pub(super) fn client_address(&self) -> Option<SocketAddr> {
        self.client.map(|client| client.client)
    }

    /// What policies may know of the connection.
    pub(super) fn transport(&self) -> Transport {
        Transport {
            vpc_endpoint: self.vpc_endpoint().copied(),
            client: self.client_address().map(|client| client.ip()),
        }
    }

    /// The VPC endpoint through which the connection has come.
    pub(super) fn vpc_endpoint(&self) -> Option<&VpcEndpointId> {
        self.client.as_ref()?.vpc_endpoint.as_ref()
    }

    /// Against which budget its requests count until their signature is verified.
    pub(super) fn owner(&self) -> Owner {
        match self.connection.standing() {
            Standing::Verified => Owner::Verified,
            Standing::Known => Owner::Known,
            Standing::Unknown => Owner::Stranger(self.source.clone()),
        }
    }

    /// Notes that a request of this peer was verified: from here on no stranger displaces its connection.
    pub(super) fn mark_verified(&self) {
        self.connection.mark_verified();
    }
}

/// What is known of a request so far. Holds no secret, no plaintext and no body.
#[derive(Debug, Default)]
pub(super) struct Facts {
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
    pub signature: Checked,
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
    pub(super) fn is_verified(&self) -> bool {
        self.access_key_id.is_some()
    }

    /// How the request ended.
    pub(super) fn outcome(&self) -> Outcome {
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
pub(super) struct Refusal;

/// What came of the check of a request's signature, for the metrics.
#[derive(Debug, Default)]
pub(super) struct Checked {
    /// How long it took.
    pub took: Duration,
    /// Our clock less the caller's, in seconds; of verified requests only.
    pub skew: Option<f64>,
    /// Why it does not verify.
    pub denied: Option<&'static str>,
}

/// A handle to the record that travels with the request.
#[derive(Clone, Debug, Default)]
pub(super) struct Record(Arc<Mutex<Facts>>);

impl Record {
    /// The facts, to read or to add to. Never held across an await.
    pub(super) fn facts(&self) -> MutexGuard<'_, Facts> {
        self.0.lock().unwrap_or_else(poisoned)
    }
}
