//! Counts the request and writes its access log line, whatever the inner layers do.
//!
//! # Invariants
//! - Each request is counted once and has one line, unless the sample or the line budget omits the line. The request's [`Observation`] does both when it
//!   is dropped.
//! - A verified request is finished even if its client disconnects. It then continues in a new task, so that the work of the HSM for it is recorded. An
//!   unverified request ends with its connection.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tower::{Layer, Service};

use super::detached::Detached;
use crate::server::live::Serving;
use crate::server::metrics::ServerMetrics;
use crate::server::received::Received;
use crate::server::request::access_log;
use crate::server::request::peer::Peer;
use crate::server::request::record::{Facts, Record};
use crate::server::response::{Response, ResponseFuture};
use crate::server::unverified::{LineBudget, LineKind};

/// Creates [`Observe`].
#[derive(Clone)]
pub(super) struct ObserveLayer(Arc<Observer>);

/// Where the observations of all requests go.
struct Observer {
    metrics: ServerMetrics,
    lines: LineBudget,
    detached: Detached,
}

impl ObserveLayer {
    pub(super) fn new(metrics: ServerMetrics, lines: LineBudget, detached: Detached) -> Self {
        Self(Arc::new(Observer {
            metrics,
            lines,
            detached,
        }))
    }
}

/// Observes the requests to the inner service.
#[derive(Clone)]
pub(super) struct Observe<S> {
    inner: S,
    observer: Arc<Observer>,
}

impl<S> Layer<S> for ObserveLayer {
    type Service = Observe<S>;

    fn layer(&self, inner: S) -> Observe<S> {
        let observer = Arc::clone(&self.0);
        Observe { inner, observer }
    }
}

impl<S, B> Service<Received<B>> for Observe<S>
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
    type Future = Observed;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Received<B>) -> Observed {
        let observation = Observation {
            observer: Arc::clone(&self.observer),
            record: request.record.clone(),
            peer: Arc::clone(&request.peer),
            serving: Arc::clone(&request.serving),
            started: request.started,
            status: None,
        };
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
        let response = ready!(responding.as_mut().poll(context))?;
        observation.status = Some(response.status().as_u16());
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
            let detached = observation.observer.detached.clone();
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
    observer: Arc<Observer>,
    record: Record,
    peer: Arc<Peer>,
    serving: Arc<Serving>,
    started: Instant,
    /// The status of the response; `None` until there is one.
    status: Option<u16>,
}

impl Drop for Observation {
    fn drop(&mut self) {
        let facts = self.record.facts();
        let duration = self.started.elapsed();
        self.observer.metrics.count_request(&facts, duration);
        if facts.is_verified() || self.may_write_line(&facts) {
            self.write(&facts, duration);
        }
    }
}

impl Observation {
    fn write(&self, facts: &Facts, duration: Duration) {
        // A client that has disconnected has not received the response.
        let status = self.status.filter(|_| !facts.has_disconnected);
        access_log::write(facts, status, &self.peer, duration, self.serving.sample);
    }

    fn may_write_line(&self, facts: &Facts) -> bool {
        let bytes = access_log::max_unverified_length(facts);
        self.observer
            .lines
            .admits(LineKind::Request, bytes, Instant::now())
    }
}
