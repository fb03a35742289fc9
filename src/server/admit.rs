//! Lets a bounded number of requests in; the rest is refused at once, which KMS takes better than waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Request;
use hyper::body::Body;
use prometheus::{IntCounter, IntGauge};
use tower::{Layer, Service};

use super::live::Live;
use super::metrics::ServerMetrics;
use super::{Answering, Response, body};
use crate::xks::{Fault, FaultKind};

/// Makes [`Admit`]; all services that one layer makes share its bound.
#[derive(Clone)]
pub(super) struct AdmitLayer {
    live: Live,
    inside: Arc<AtomicUsize>,
    shed: IntCounter,
    in_flight: IntGauge,
}

impl AdmitLayer {
    /// At most `max_in_flight` requests at a time; `inside` counts them.
    pub(super) fn new(live: Live, inside: Arc<AtomicUsize>, metrics: &ServerMetrics) -> Self {
        Self {
            live,
            inside,
            shed: metrics.shed.clone(),
            in_flight: metrics.in_flight.clone(),
        }
    }

    /// A place for one request; none when all are taken.
    fn enter(&self) -> Option<InFlight> {
        let before = self.inside.fetch_add(1, Ordering::AcqRel);
        self.in_flight.inc();
        let place = InFlight {
            inside: Arc::clone(&self.inside),
            gauge: self.in_flight.clone(),
        };
        (before < self.live.now().limits.max_in_flight).then_some(place)
    }
}

/// Bounds the service inside.
#[derive(Clone)]
pub(super) struct Admit<S> {
    inner: S,
    layer: AdmitLayer,
}

impl<S> Layer<S> for AdmitLayer {
    type Service = Admit<S>;

    fn layer(&self, inner: S) -> Admit<S> {
        let layer = self.clone();
        Admit { inner, layer }
    }
}

/// Counts one request out again, also when its future is dropped.
struct InFlight {
    inside: Arc<AtomicUsize>,
    gauge: IntGauge,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.inside.fetch_sub(1, Ordering::AcqRel);
        self.gauge.dec();
    }
}

impl<S, B> Service<Request<B>> for Admit<S>
where
    S: Service<Request<B>, Response = Response, Error = Fault>,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Unpin + Send + 'static,
{
    type Response = Response;
    type Error = Fault;
    type Future = Answering<Fault>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let Some(place) = self.layer.enter() else {
            self.layer.shed.inc();
            return Box::pin(async {
                let (head, body) = request.into_parts();
                body::discard(body, &head.headers).await;
                Err(Fault::because(
                    FaultKind::Overloaded,
                    "max_in_flight is reached",
                ))
            });
        };
        let answering = self.inner.call(request);
        Box::pin(async move {
            let answer = answering.await;
            drop(place);
            answer
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;
    use crate::server::live::tests::with_limits;
    use crate::server::settings::Limits;
    use http_body_util::Full;
    use tokio::sync::Notify;

    #[tokio::test]
    async fn the_request_too_many_is_refused_at_once_and_places_come_back() {
        let metrics = ServerMetrics::declare(&Metrics::default()).unwrap();
        let limits = Limits {
            max_in_flight: 1,
            ..Limits::default()
        };
        let layer = AdmitLayer::new(with_limits(limits), Arc::default(), &metrics);
        let release = Arc::new(Notify::new());
        let gate = Arc::clone(&release);
        let mut service = layer.layer(tower::service_fn(move |_: Request<Full<Bytes>>| {
            let gate = Arc::clone(&gate);
            async move {
                gate.notified().await;
                Ok::<_, Fault>(Response::new(Full::default()))
            }
        }));
        let first = tokio::spawn(service.call(Request::new(Full::default())));
        let second = service
            .call(Request::new(Full::default()))
            .await
            .unwrap_err();
        assert_eq!(second.kind, FaultKind::Overloaded);
        assert_eq!((metrics.shed.get(), metrics.in_flight.get()), (1, 1));
        release.notify_one();
        assert!(first.await.unwrap().is_ok());
        drop(service.call(Request::new(Full::default())));
        assert_eq!(
            metrics.in_flight.get(),
            0,
            "a dropped request gives its place back"
        );
        release.notify_one();
        assert!(service.call(Request::new(Full::default())).await.is_ok());
    }
}
