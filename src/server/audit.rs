//! Records each verified request in the audit trail before its answer leaves, and each failed authentication.
//!
//! # Invariants
//! - With `on_failure = "refuse"` no answer leaves unrecorded: what cannot be recorded is answered with InternalException, and what the
//!   operation had produced is dropped.
//! - A request whose caller has gone while it was worked on is recorded, too.
//! - A flood of bad signatures does not fill the disk: one line per source and period, with the number of those left out.

use std::convert::Infallible;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::{Request, Version};
use hyper::body::Body as _;
use tokio::time::timeout;
use tower::{Layer, Service};

use super::failures::Failures;
use super::record::{Facts, Peer, Record};
use super::{Answering, Response, rescue};
use crate::audit::{self, Entry, Outcome, Recording, Security, Trail};
use crate::operations::Cost;
use crate::xks::{Fault, FaultKind};

/// How long an answer waits for its line. KMS has given up by then; a disk that hangs must not keep connections for ever.
const PATIENCE: Duration = Duration::from_secs(1);

/// Makes [`Audit`].
#[derive(Clone)]
pub(super) struct AuditLayer {
    trail: Option<Trail>,
    failures: Failures,
}

impl AuditLayer {
    /// Records in this trail; in none, it only passes on.
    pub(super) fn new(trail: Option<Trail>) -> Self {
        Self {
            trail,
            failures: Failures::default(),
        }
    }
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
    S: Service<Request<B>, Response = Response, Error = Infallible, Future = Answering<Infallible>>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Answering<Infallible>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let Some(trail) = self.layer.trail.clone() else {
            return self.inner.call(request);
        };
        let mut witness = Witness {
            trail,
            failures: self.layer.failures.clone(),
            record: request.extensions().get().cloned().unwrap_or_default(),
            peer: request.extensions().get().cloned(),
            version: request.version(),
            started: Instant::now(),
            recording: None,
            is_done: false,
        };
        let answering = self.inner.call(request);
        Box::pin(async move {
            let response = answering.await?;
            Ok(witness.see(response).await)
        })
    }
}

/// Who sees a request through, whether or not it is answered.
struct Witness {
    trail: Trail,
    failures: Failures,
    record: Record,
    peer: Option<Peer>,
    version: Version,
    started: Instant,
    /// The line on its way.
    recording: Option<Recording>,
    is_done: bool,
}

impl Witness {
    /// The answer once it is recorded, or the one that says it could not be.
    async fn see(&mut self, response: Response) -> Response {
        let (entry, security) = {
            let facts = self.record.facts();
            (self.entry(&facts, &response), self.security(&facts))
        };
        if let Some(security) = security {
            self.trail.note(security);
        }
        let Some(entry) = entry else {
            self.is_done = true;
            return response;
        };
        let recording = self.recording.insert(self.trail.recording(entry));
        let recorded = timeout(PATIENCE, recording.written()).await;
        let reason = match recorded {
            Ok(Ok(())) => {
                self.is_done = true;
                return response;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the audit trail's disk does not answer".to_owned(),
        };
        self.is_done = true;
        self.failed(response, Fault::because(FaultKind::Internal, reason))
    }

    /// The answer to a request that could not be recorded in time, with a line that says the same; unless it was recorded just now.
    fn failed(&mut self, response: Response, fault: Fault) -> Response {
        let failed = rescue::of_fault(&fault, self.version);
        let mut facts = self.record.facts();
        let before = facts.fault.replace(fault);
        let entry = self.entry(&facts, &failed);
        let recording = self.recording.take();
        let is_recorded = recording
            .zip(entry)
            .is_some_and(|(recording, entry)| recording.amend(entry));
        if is_recorded {
            facts.fault = before;
            return response;
        }
        failed
    }

    /// The request's line, if it passed authentication.
    fn entry(&self, facts: &Facts, response: &Response) -> Option<Entry> {
        facts.access_key_id.as_ref()?;
        let (outcome, fault) = (outcome_of(facts), facts.fault.as_ref());
        let error_name = fault.map(|fault| fault.kind.name().as_str());
        let reason = fault.and_then(|fault| fault.reason.as_deref());
        let would_deny = reason.is_none().then(|| self.would_deny(facts)).flatten();
        Some(self.line(
            facts,
            audit::Request {
                outcome,
                status: Some(response.status().as_u16()),
                error_name,
                reason: reason.or(would_deny.as_deref()),
                response_bytes: response.body().size_hint().exact(),
                ..audit::Request::default()
            },
        ))
    }

    /// What the policy would have denied, had it been in force.
    fn would_deny(&self, facts: &Facts) -> Option<String> {
        let decision = facts.decision.as_ref()?;
        let is_observed = decision.is_allowed && !decision.is_permitted();
        is_observed.then(|| format!("observed only: {decision}"))
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
            client_subject: self.peer.as_ref().and_then(|peer| peer.subject.as_deref()),
            metadata: facts.metadata.as_deref(),
            policies: decision.map_or(&[], |decision| &decision.policies),
            request_bytes: facts.request_bytes,
            total: self.started.elapsed(),
            queued: device.as_ref().map(|_| *queued),
            worked: device.as_ref().map(|_| *worked),
            ..answered
        })
    }

    /// A denial, or a failed authentication that is to be told.
    fn security(&self, facts: &Facts) -> Option<Entry> {
        let fault = facts.fault.as_ref()?;
        let (event, reason) = match fault.kind {
            FaultKind::AccessDenied => ("denied", fault.reason.clone()),
            FaultKind::AuthenticationFailed => {
                let source = self.peer.as_ref().map(|peer| peer.source.clone());
                let left_out = self.failures.tell(source, Instant::now())?;
                let reason = fault.reason.as_deref().unwrap_or("no reason");
                let reason = match left_out {
                    0 => reason.to_owned(),
                    _ => format!("{reason} ({left_out} more since the line before)"),
                };
                ("authentication_failed", Some(reason.into()))
            }
            _ => return None,
        };
        Some(Entry::security(&Security {
            event,
            key_store: facts.key_store.as_deref(),
            access_key_id: facts.access_key_id.as_ref().map(|id| id.as_str()),
            peer: self.peer.as_ref().map(|peer| peer.address),
            client_subject: self.peer.as_ref().and_then(|peer| peer.subject.as_deref()),
            reason: reason.as_deref(),
            ..Security::default()
        }))
    }
}

impl Drop for Witness {
    /// The caller has gone before it had its answer.
    fn drop(&mut self) {
        if self.is_done {
            return;
        }
        let facts = self.record.facts();
        if facts.access_key_id.is_some() {
            let answered = audit::Request {
                outcome: Outcome::Failed,
                reason: Some("the caller left before the answer"),
                ..audit::Request::default()
            };
            let line = self.line(&facts, answered);
            match self.recording.take() {
                // Where the first line is recorded already, it stands: the caller left a moment later.
                Some(recording) => drop(recording.amend(line)),
                None => self.trail.note(line),
            }
        }
    }
}

fn outcome_of(facts: &Facts) -> Outcome {
    match &facts.fault {
        None => Outcome::Ok,
        Some(fault) if fault.kind.status() >= 500 && fault.kind.status() != 501 => Outcome::Failed,
        Some(_) => Outcome::Refused,
    }
}
