//! Records each verified request in the audit trail before its response is sent, and each failed authentication.
//!
//! # Invariants
//! - With `on_failure = "refuse"`, no response is sent unrecorded. A request that cannot be recorded gets InternalException, and the result of its
//!   operation is dropped.
//! - A verified request has exactly one line, even if its client disconnects (see [`super::observe`]).
//! - A flood of wrong signatures does not fill the disk, and each of them is counted in a line: see [`crate::server::unverified`].

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::Version;
use hyper::body::Body as _;
use tokio::time::timeout_at;
use tower::{Layer, Service};

use crate::audit::{self, Entry, Recording, Security, Trail};
use crate::clock::Deadline;
use crate::json_line::OutsideText;
use crate::operations::Cost;
use crate::proxy_protocol::VpcEndpointId;
use crate::server::received::Received;
use crate::server::request::peer::Peer;
use crate::server::request::record::{Facts, Record};
use crate::server::response::{self, Response, ResponseFuture};
use crate::server::unverified::UnverifiedLimits;
use crate::xks::{Fault, FaultKind};

/// The minimum time for which a response waits for its line, even if the HSM has used the whole time of the request. A working disk needs a few
/// milliseconds. KMS stops waiting within this time.
const MIN_WAIT: Duration = Duration::from_millis(50);

/// Creates [`Audit`].
#[derive(Clone)]
pub(super) struct AuditLayer(Option<Arc<Destination>>);

/// Where the lines of all requests go.
struct Destination {
    trail: Trail,
    unverified: UnverifiedLimits,
}

impl AuditLayer {
    /// Creates a layer that records in this audit trail; without one, it records nothing.
    pub(super) fn new(trail: Option<Trail>, unverified: &UnverifiedLimits) -> Self {
        Self(trail.map(|trail| {
            let unverified = unverified.clone();
            Arc::new(Destination { trail, unverified })
        }))
    }
}

/// Records the responses of the inner service.
#[derive(Clone)]
pub(super) struct Audit<S> {
    inner: S,
    destination: Option<Arc<Destination>>,
}

impl<S> Layer<S> for AuditLayer {
    type Service = Audit<S>;

    fn layer(&self, inner: S) -> Audit<S> {
        let destination = self.0.clone();
        Audit { inner, destination }
    }
}

impl<S, B> Service<Received<B>> for Audit<S>
where
    S: Service<
            Received<B>,
            Response = Response,
            Error = Infallible,
            Future = ResponseFuture<Infallible>,
        >,
{
    type Response = Response;
    type Error = Infallible;
    type Future = ResponseFuture<Infallible>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Received<B>) -> Self::Future {
        let Some(destination) = self.destination.clone() else {
            return self.inner.call(request);
        };
        let recorder = Recorder {
            destination,
            record: request.record.clone(),
            peer: Arc::clone(&request.peer),
            version: request.head.version,
            started: request.started,
            deadline: request.deadline,
        };
        let responding = self.inner.call(request);
        Box::pin(async move {
            let response = responding.await?;
            Ok(recorder.record(response).await)
        })
    }
}

/// Records one request.
struct Recorder {
    destination: Arc<Destination>,
    record: Record,
    peer: Arc<Peer>,
    version: Version,
    started: Instant,
    deadline: Deadline,
}

impl Recorder {
    /// Records the request and returns its response, or an error response if it could not be recorded.
    async fn record(self, response: Response) -> Response {
        let (calls, entry) = {
            let facts = self.record.facts();
            self.record_event(&facts);
            let calls = facts.calls.close();
            (calls, self.entry(&facts, &response, calls))
        };
        let Some(entry) = entry else {
            return response;
        };
        let began = Instant::now();
        let mut recording = self.destination.trail.recording(entry);
        let outcome = self.wait_until_written(&mut recording).await;
        let mut facts = self.record.facts();
        facts.audited = Some(began.elapsed());
        match outcome {
            Ok(()) => response,
            Err(fault) => self.replace_unrecorded(&mut facts, (response, fault), recording, calls),
        }
    }

    /// Returns the error response to a request that was not recorded in time, and changes its line accordingly. If the line was written in the meantime,
    /// returns the original response.
    fn replace_unrecorded(
        &self,
        facts: &mut Facts,
        (response, fault): (Response, Fault),
        recording: Recording,
        calls: u32,
    ) -> Response {
        let failed = response::error(&fault, self.version);
        let before = facts.fault.replace(fault);
        let entry = self.entry(facts, &failed, calls);
        match entry.is_some_and(|entry| recording.amend(entry)) {
            true => {
                facts.fault = before;
                response
            }
            false => failed,
        }
    }

    /// Waits until the line is written, at most until the deadline of the request.
    async fn wait_until_written(&self, recording: &mut Recording) -> Result<(), Fault> {
        let until = self.deadline.max(Deadline::after(MIN_WAIT));
        let recorded = timeout_at(until.instant().into(), recording.written()).await;
        let reason = match recorded {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the audit trail was not written in time".to_owned(),
        };
        Err(Fault::because(FaultKind::Internal, reason))
    }

    /// Returns the request's line if its signature is verified.
    fn entry(&self, facts: &Facts, response: &Response, calls: u32) -> Option<Entry> {
        facts.access_key_id.as_ref()?;
        let fault = facts.fault.as_ref();
        let reason = fault.and_then(|fault| fault.reason.as_deref());
        let would_deny = reason.is_none().then(|| would_deny(facts)).flatten();
        let has_response = !facts.has_disconnected;
        Some(self.line(
            facts,
            audit::Request {
                outcome: facts.outcome(),
                status: has_response.then(|| response.status().as_u16()),
                error_name: fault.map(|fault| fault.kind.name().as_str()),
                reason: reason.or(would_deny.as_deref()).map(OutsideText::from),
                response_bytes: response.body().size_hint().exact().filter(|_| has_response),
                hsm_calls: calls,
                ..audit::Request::default()
            },
        ))
    }

    /// Returns the line with the facts about the request and, from `response`, those about its response.
    fn line(&self, facts: &Facts, response: audit::Request<'_>) -> Entry {
        let Cost {
            device,
            queued,
            worked,
            ..
        } = &facts.cost;
        let decision = facts.decision.as_ref();
        Entry::request(&audit::Request {
            key_store: facts.key_store.as_deref(),
            operation: facts.operation.map(|operation| operation.as_str()),
            key_id: facts.key_id.as_ref().map(|id| id.as_str()),
            key_version: facts.cost.key_version.map(|version| version.0),
            legacy: facts.cost.is_legacy,
            hsm: device.as_deref(),
            access_key_id: facts.access_key_id.as_ref().map(|id| id.as_str()),
            peer: Some(self.peer.address),
            client: self.peer.client_address(),
            vpc_endpoint: self.vpc_endpoint(),
            client_subject: self.subject(),
            client_certificate: Some(facts.client_certificate.as_str()),
            metadata: facts.metadata.as_deref(),
            policies: decision.map_or(&[], |decision| &decision.policies),
            request_bytes: facts.request_bytes,
            total: self.started.elapsed(),
            queued: device.as_ref().map(|_| *queued),
            worked: device.as_ref().map(|_| *worked),
            ..response
        })
    }

    fn vpc_endpoint(&self) -> Option<&str> {
        self.peer.vpc_endpoint().map(VpcEndpointId::as_str)
    }

    fn subject(&self) -> Option<OutsideText<'_>> {
        self.peer.subject.as_deref().map(OutsideText::from)
    }

    /// Records a denial, or a failed authentication.
    fn record_event(&self, facts: &Facts) {
        let Some(fault) = &facts.fault else {
            return;
        };
        match fault.kind {
            FaultKind::AccessDenied => {
                let denied = self.security("denied", facts, fault);
                self.destination.trail.note(Entry::security(&denied));
            }
            FaultKind::AuthenticationFailed => {
                let failed = self.security("authentication_failed", facts, fault);
                let unverified = &self.destination.unverified;
                unverified.record_failure(&self.peer.source, &failed);
            }
            _ => {}
        }
    }

    fn security<'a>(&'a self, event: &'a str, facts: &'a Facts, fault: &'a Fault) -> Security<'a> {
        Security {
            event,
            key_store: facts.key_store.as_deref(),
            access_key_id: facts.access_key_id.as_ref().map(|id| id.as_str()),
            peer: Some(self.peer.address),
            client: self.peer.client_address(),
            vpc_endpoint: self.vpc_endpoint(),
            client_subject: self.subject(),
            client_certificate: Some(facts.client_certificate.as_str()),
            reason: fault.reason.as_deref().map(OutsideText::from),
            ..Security::default()
        }
    }
}

/// Returns the decision if the policy, which is only observed, would have denied the request.
fn would_deny(facts: &Facts) -> Option<String> {
    let decision = facts.decision.as_ref()?;
    let is_observed = decision.is_allowed && !decision.is_permitted();
    is_observed.then(|| format!("observed only: {decision}"))
}
