//! The outermost layer: opens the request's record, counts the request and writes its line, whatever happens inside.
//!
//! # Invariants
//! - Each request is counted once and has one line (or is left out of the log by the sample or the line budget): both are done by the one
//!   [`Entry`] of the request, when that is dropped.
//! - A verified request is finished, also when its client has gone: it then goes on in a task of its own, so that what the HSM did for it is
//!   known and recorded. A request that is not verified ends with its connection.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use http::Request;
use tower::{Layer, Service};

use super::detached::Detached;
use crate::server::live::Live;
use crate::server::metrics::ServerMetrics;
use crate::server::request::access_log;
use crate::server::request::peer::Peer;
use crate::server::request::record::{Facts, Record, UnverifiedResponse};
use crate::server::request::trace_context::TraceContext;
use crate::server::response::{Response, ResponseFuture};
use crate::server::unverified::{LineBudget, LineKind};

/// What all requests share.
#[derive(Clone)]
pub(super) struct ObserveLayer {
    pub live: Live,
    pub metrics: ServerMetrics,
    pub lines: LineBudget,
    pub detached: Detached,
}

/// Observes the service inside.
#[derive(Clone)]
pub(super) struct Observe<S> {
    inner: S,
    layer: ObserveLayer,
}

impl<S> Layer<S> for ObserveLayer {
    type Service = Observe<S>;

    fn layer(&self, inner: S) -> Observe<S> {
        let layer = self.clone();
        Observe { inner, layer }
    }
}

impl<S, B> Service<Request<B>> for Observe<S>
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
    type Future = Observed;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Observed {
        let entry = Entry {
            started: Instant::now(),
            record: Record::default(),
            peer: request.extensions().get().cloned(),
            layer: self.layer.clone(),
            status: None,
        };
        {
            let mut facts = entry.record.facts();
            facts.trace = TraceContext::of(request.headers());
            let peer = entry.peer.as_ref();
            facts.client_certificate = peer.map(|peer| peer.certificate).unwrap_or_default();
        }
        request.extensions_mut().insert(entry.record.clone());
        let answering = self.inner.call(request);
        Observed(Some((answering, entry)))
    }
}

/// A request that is being answered.
pub(super) struct Observed(Option<(ResponseFuture<Infallible>, Entry)>);

impl Future for Observed {
    type Output = Result<Response, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some((answering, entry)) = &mut self.0 else {
            return Poll::Pending;
        };
        let mut response = ready!(answering.as_mut().poll(context))?;
        entry.status = Some(response.status().as_u16());
        if !entry.record.facts().is_verified() {
            response.extensions_mut().insert(UnverifiedResponse);
        }
        self.0 = None;
        Poll::Ready(Ok(response))
    }
}

impl Drop for Observed {
    /// The client has gone before its answer was ready.
    fn drop(&mut self) {
        let Some((answering, entry)) = self.0.take() else {
            return;
        };
        let is_verified = {
            let mut facts = entry.record.facts();
            facts.has_left = true;
            facts.is_verified()
        };
        // A future that has panicked must not be polled again.
        if is_verified && !std::thread::panicking() {
            let detached = entry.layer.detached.clone();
            detached.finish(async move {
                // The answer is for nobody.
                drop(answering.await);
                drop(entry);
            });
        }
    }
}

/// One request in the log and in the metrics: it is written when this is dropped, and so exactly once.
struct Entry {
    layer: ObserveLayer,
    record: Record,
    peer: Option<Peer>,
    started: Instant,
    /// The answer's status; none while there is no answer.
    status: Option<u16>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let facts = self.record.facts();
        let duration = self.started.elapsed();
        self.layer.metrics.count_request(&facts, duration);
        if facts.is_verified() || self.has_room_for_line(&facts) {
            self.write(&facts, duration);
        }
    }
}

impl Entry {
    fn write(&self, facts: &Facts, duration: Duration) {
        let peer = self.peer.as_ref();
        // Nobody has received the answer of a client that has gone.
        let status = self.status.filter(|_| !facts.has_left);
        let sample = self.layer.live.now().sample;
        access_log::write(facts, status, peer, duration, sample);
    }

    fn has_room_for_line(&self, facts: &Facts) -> bool {
        let bytes = access_log::length_of_unverified(facts);
        self.layer
            .lines
            .admits(LineKind::Request, bytes, Instant::now())
    }
}
