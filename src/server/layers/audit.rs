//! Records each verified request in the audit trail before its answer leaves, and each failed authentication.
//!
//! # Invariants
//! - With `on_failure = "refuse"` no answer leaves unrecorded: what cannot be recorded is answered with InternalException, and what the
//!   operation had produced is dropped.
//! - A verified request has one line: it is finished also when its client has gone (see [`super::observe`]), and its entry is made once.
//! - A flood of bad signatures does not fill the disk, and each is counted in some line: see [`crate::server::unverified`].

use std::convert::Infallible;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::{Request, Version};
use hyper::body::Body as _;
use tokio::time::timeout_at;
use tower::{Layer, Service};

use crate::audit::{self, Entry, Recording, Security, Trail};
use crate::clock::Deadline;
use crate::json_line::OutsideText;
use crate::operations::Cost;
use crate::proxy_protocol::VpcEndpointId;
use crate::server::request::peer::Peer;
use crate::server::request::record::{Facts, Record};
use crate::server::response::{self, Response, ResponseFuture};
use crate::server::unverified::UnverifiedLimits;
use crate::xks::{Fault, FaultKind};

/// How long an answer waits for its line at least, also when the HSM has used the whole of the request's time: a disk that is well needs
/// some milliseconds. KMS has given up by then at the latest.
const LEAST_PATIENCE: Duration = Duration::from_millis(50);

/// Makes [`Audit`].
#[derive(Clone)]
pub(super) struct AuditLayer {
    /// None: it only passes on.
    pub trail: Option<Trail>,
    pub strangers: UnverifiedLimits,
}

/// Records what the service inside answers.
#[derive(Clone)]
pub(super) struct Audit<S> {
    inner: S,
    layer: AuditLayer,
}

impl<S> Layer<S> for AuditLayer {
    type Service = Audit<S>;

    fn layer(&self, inner: S) -> Audit<S> {
        let layer = self.clone();
        Audit { inner, layer }
    }
}

impl<S, B> Service<Request<B>> for Audit<S>
where
    S: Service<
            Request<B>,
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

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let Some(trail) = self.layer.trail.clone() else {
            return self.inner.call(request);
        };
        let witness = Recorder {
            trail,
            strangers: self.layer.strangers.clone(),
            record: request.extensions().get().cloned().unwrap_or_default(),
            peer: request.extensions().get().cloned(),
            version: request.version(),
            started: Instant::now(),
        };
        let answering = self.inner.call(request);
        Box::pin(async move {
            let response = answering.await?;
            Ok(witness.see(response).await)
        })
    }
}

/// Who sees a request through.
struct Recorder {
    trail: Trail,
    strangers: UnverifiedLimits,
    record: Record,
    peer: Option<Peer>,
    version: Version,
    started: Instant,
}

impl Recorder {
    /// The answer once it is recorded, or the one that says it could not be.
    async fn see(self, response: Response) -> Response {
        let (calls, entry, deadline) = {
            let facts = self.record.facts();
            self.record_event(&facts);
            let calls = facts.calls.close();
            (calls, self.entry(&facts, &response, calls), facts.deadline)
        };
        let Some(entry) = entry else {
            return response;
        };
        let began = Instant::now();
        let mut recording = self.trail.recording(entry);
        let outcome = Self::recorded(&mut recording, deadline).await;
        let mut facts = self.record.facts();
        facts.audited = Some(began.elapsed());
        match outcome {
            Ok(()) => response,
            Err(fault) => self.failed(&mut facts, (response, fault), recording, calls),
        }
    }

    /// The answer to a request that could not be recorded in time, with a line that says the same; unless it was recorded just now.
    fn failed(
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

    /// Waits for the line as long as somebody waits for the answer.
    async fn recorded(recording: &mut Recording, deadline: Option<Deadline>) -> Result<(), Fault> {
        let least = Deadline::after(LEAST_PATIENCE);
        let until = deadline.map_or(least, |deadline| deadline.max(least));
        let recorded = timeout_at(until.instant().into(), recording.written()).await;
        let reason = match recorded {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the audit trail was not written in time".to_owned(),
        };
        Err(Fault::because(FaultKind::Internal, reason))
    }

    /// The request's line, if it passed authentication.
    fn entry(&self, facts: &Facts, response: &Response, calls: u32) -> Option<Entry> {
        facts.access_key_id.as_ref()?;
        let fault = facts.fault.as_ref();
        let reason = fault.and_then(|fault| fault.reason.as_deref());
        let would_deny = reason.is_none().then(|| would_deny(facts)).flatten();
        let is_answer = !facts.has_left;
        Some(self.line(
            facts,
            audit::Request {
                outcome: facts.outcome(),
                status: is_answer.then(|| response.status().as_u16()),
                error_name: fault.map(|fault| fault.kind.name().as_str()),
                reason: reason.or(would_deny.as_deref()).map(OutsideText::from),
                response_bytes: response.body().size_hint().exact().filter(|_| is_answer),
                hsm_calls: calls,
                ..audit::Request::default()
            },
        ))
    }

    /// What is known of the request, with what `answered` says of its answer.
    fn line(&self, facts: &Facts, answered: audit::Request<'_>) -> Entry {
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
            peer: self.peer.as_ref().map(|peer| peer.address),
            client: self.peer.as_ref().and_then(Peer::client_address),
            vpc_endpoint: self.vpc_endpoint(),
            client_subject: self.subject(),
            client_certificate: Some(facts.client_certificate.as_str()),
            metadata: facts.metadata.as_deref(),
            policies: decision.map_or(&[], |decision| &decision.policies),
            request_bytes: facts.request_bytes,
            total: self.started.elapsed(),
            queued: device.as_ref().map(|_| *queued),
            worked: device.as_ref().map(|_| *worked),
            ..answered
        })
    }

    fn vpc_endpoint(&self) -> Option<&str> {
        let endpoint = self.peer.as_ref()?.vpc_endpoint();
        endpoint.map(VpcEndpointId::as_str)
    }

    fn subject(&self) -> Option<OutsideText<'_>> {
        let subject = self.peer.as_ref()?.subject.as_deref();
        subject.map(OutsideText::from)
    }

    /// Records a denial, or a failed authentication.
    fn record_event(&self, facts: &Facts) {
        let Some(fault) = &facts.fault else {
            return;
        };
        match fault.kind {
            FaultKind::AccessDenied => {
                let denied = self.security("denied", facts, fault);
                self.trail.note(Entry::security(&denied));
            }
            FaultKind::AuthenticationFailed => {
                if let Some(peer) = &self.peer {
                    let failed = self.security("authentication_failed", facts, fault);
                    self.strangers.record_failure(&peer.source, &failed);
                }
            }
            _ => {}
        }
    }

    fn security<'a>(&'a self, event: &'a str, facts: &'a Facts, fault: &'a Fault) -> Security<'a> {
        Security {
            event,
            key_store: facts.key_store.as_deref(),
            access_key_id: facts.access_key_id.as_ref().map(|id| id.as_str()),
            peer: self.peer.as_ref().map(|peer| peer.address),
            client: self.peer.as_ref().and_then(Peer::client_address),
            vpc_endpoint: self.vpc_endpoint(),
            client_subject: self.subject(),
            client_certificate: Some(facts.client_certificate.as_str()),
            reason: fault.reason.as_deref().map(OutsideText::from),
            ..Security::default()
        }
    }
}

/// What the policy would have denied, had it been in force.
fn would_deny(facts: &Facts) -> Option<String> {
    let decision = facts.decision.as_ref()?;
    let is_observed = decision.is_allowed && !decision.is_permitted();
    is_observed.then(|| format!("observed only: {decision}"))
}
