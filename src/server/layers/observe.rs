//! Creates the request's record, counts the request and writes its access log line, whatever the inner layers do.
//!
//! # Invariants
//! - Each request is counted once and has one line, unless the sample or the line budget omits the line. The request's [`Observation`] does both when it
//!   is dropped.
//! - A verified request is finished even if its client disconnects. It then continues in a new task, so that the work of the HSM for it is recorded. An
//!   unverified request ends with its connection.

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

/// Creates [`Observe`].
#[derive(Clone)]
pub(super) struct ObserveLayer {
    pub live: Live,
    pub metrics: ServerMetrics,
    pub lines: LineBudget,
    pub detached: Detached,
}

/// Observes the requests to the inner service.
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
        let observation = Observation {
            started: Instant::now(),
            record: Record::default(),
            peer: request.extensions().get().cloned(),
            layer: self.layer.clone(),
            status: None,
        };
        {
            let mut facts = observation.record.facts();
            facts.trace = TraceContext::of(request.headers());
            let peer = observation.peer.as_ref();
            facts.client_certificate = peer.map(|peer| peer.certificate).unwrap_or_default();
        }
        request.extensions_mut().insert(observation.record.clone());
        let responding = self.inner.call(request);
        Observed(Some((responding, observation)))
    }
}

/// The future of a request's response.
pub(super) struct Observed(Option<(ResponseFuture<Infallible>, Observation)>);

impl Future for Observed {
    type Output = Result<Response, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some((responding, observation)) = &mut self.0 else {
            return Poll::Pending;
        };
        let mut response = ready!(responding.as_mut().poll(context))?;
        observation.status = Some(response.status().as_u16());
        if !observation.record.facts().is_verified() {
            response.extensions_mut().insert(UnverifiedResponse);
        }
        self.0 = None;
        Poll::Ready(Ok(response))
    }
}

impl Drop for Observed {
    /// Finishes the request if its client has disconnected before the response was ready.
    fn drop(&mut self) {
        let Some((responding, observation)) = self.0.take() else {
            return;
        };
        let is_verified = {
            let mut facts = observation.record.facts();
            facts.has_disconnected = true;
            facts.is_verified()
        };
        // A future that has panicked must not be polled again.
        if is_verified && !std::thread::panicking() {
            let detached = observation.layer.detached.clone();
            detached.finish(async move {
                // Nobody receives the response.
                drop(responding.await);
                drop(observation);
            });
        }
    }
}

/// The observation of one request. Its drop counts the request and writes its line, so both happen exactly once.
struct Observation {
    layer: ObserveLayer,
    record: Record,
    peer: Option<Peer>,
    started: Instant,
    /// The status of the response; `None` until there is one.
    status: Option<u16>,
}

impl Drop for Observation {
    fn drop(&mut self) {
        let facts = self.record.facts();
        let duration = self.started.elapsed();
        self.layer.metrics.count_request(&facts, duration);
        if facts.is_verified() || self.may_write_line(&facts) {
            self.write(&facts, duration);
        }
    }
}

impl Observation {
    fn write(&self, facts: &Facts, duration: Duration) {
        let peer = self.peer.as_ref();
        // A client that has disconnected has not received the response.
        let status = self.status.filter(|_| !facts.has_disconnected);
        let sample = self.layer.live.now().sample;
        access_log::write(facts, status, peer, duration, sample);
    }

    fn may_write_line(&self, facts: &Facts) -> bool {
        let bytes = access_log::max_unverified_length(facts);
        self.layer
            .lines
            .admits(LineKind::Request, bytes, Instant::now())
    }
}
