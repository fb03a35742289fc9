//! The outermost layer: opens the request's record, counts it and writes its line, whatever happens inside.

use std::convert::Infallible;
use std::task::{Context, Poll};
use std::time::Instant;

use http::Request;
use tower::{Layer, Service};

use super::live::Live;
use super::metrics::ServerMetrics;
use super::record::{Peer, Record};
use super::trace_context::TraceContext;
use super::{Answering, Response, access_log};

/// Makes [`Observe`].
#[derive(Clone)]
pub(super) struct ObserveLayer {
    pub live: Live,
    pub metrics: ServerMetrics,
}

/// Observes the service inside.
#[derive(Clone)]
pub(super) struct Observe<S> {
    inner: S,
    live: Live,
    metrics: ServerMetrics,
}

impl<S> Layer<S> for ObserveLayer {
    type Service = Observe<S>;

    fn layer(&self, inner: S) -> Observe<S> {
        let Self { live, metrics } = self.clone();
        Observe {
            inner,
            live,
            metrics,
        }
    }
}

impl<S, B> Service<Request<B>> for Observe<S>
where
    S: Service<Request<B>, Response = Response, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Answering<Infallible>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let started = Instant::now();
        let record = Record::default();
        record.facts().trace = TraceContext::of(request.headers());
        let peer = request.extensions().get::<Peer>().map(|peer| peer.address);
        request.extensions_mut().insert(record.clone());
        let answering = self.inner.call(request);
        let (live, metrics) = (self.live.clone(), self.metrics.clone());
        Box::pin(async move {
            let response = answering.await?;
            let facts = record.facts();
            let duration = started.elapsed();
            metrics.count_request(&facts, duration);
            let (status, sample) = (response.status().as_u16(), live.now().sample);
            access_log::write(&facts, status, peer, duration, sample);
            drop(facts);
            Ok(response)
        })
    }
}
