//! Lets a bounded number of verified requests in; the rest is refused at once, which KMS takes better than waiting.
//!
//! # Invariants
//! - Only an [`Authenticated`] request takes a permit: who cannot sign takes nothing from those who can.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use prometheus::{IntCounter, IntGauge};
use tower::{Layer, Service};

use super::authenticate::Authenticated;
use super::share::{self, StorePermit};
use crate::keystore::KeyStore;
use crate::server::metrics::ServerMetrics;
use crate::server::response::{Response, ResponseFuture};
use crate::xks::{Fault, FaultKind};

/// Makes [`Admit`]; all services that one layer makes share its bound.
#[derive(Clone)]
pub(super) struct AdmitLayer {
    inside: Arc<AtomicUsize>,
    shed: IntCounter,
    in_flight: IntGauge,
}

impl AdmitLayer {
    /// Counts requests in these metrics.
    pub(super) fn new(metrics: &ServerMetrics) -> Self {
        Self {
            inside: Arc::default(),
            shed: metrics.shed.clone(),
            in_flight: metrics.in_flight.clone(),
        }
    }

    /// A permit for one request of this store, of at most `max`; none when all are taken, or the store's share of them.
    fn enter(&self, store: &KeyStore, max: usize) -> Result<Permit, &'static str> {
        let before = self.inside.fetch_add(1, Ordering::AcqRel);
        self.in_flight.inc();
        let in_flight = InFlight {
            inside: Arc::clone(&self.inside),
            gauge: self.in_flight.clone(),
        };
        if before >= max {
            return Err("max_in_flight is reached");
        }
        let share = share::take(&store.in_flight, before + 1, max);
        let share = share.ok_or("the key store's share of max_in_flight is used up")?;
        Ok(Permit {
            _share: share,
            _in_flight: in_flight,
        })
    }
}

/// One request's place; given back when it is dropped.
struct Permit {
    _share: StorePermit,
    _in_flight: InFlight,
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

impl<S> Service<Authenticated> for Admit<S>
where
    S: Service<Authenticated, Response = Response, Error = Fault>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Fault;
    type Future = ResponseFuture<Fault>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Authenticated) -> Self::Future {
        let max = request.serving.limits.max_in_flight;
        let permit = match self.layer.enter(&request.store, max) {
            Ok(permit) => permit,
            Err(reason) => {
                self.layer.shed.inc();
                request.note_metadata();
                return Box::pin(ready(Err(Fault::because(FaultKind::Overloaded, reason))));
            }
        };
        let answering = self.inner.call(request);
        Box::pin(async move {
            let answer = answering.await;
            drop(permit);
            answer
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn the_request_too_many_is_refused_and_permits_come_back() {
        let metrics = ServerMetrics::declare(&Metrics::default()).unwrap();
        let layer = AdmitLayer::new(&metrics);
        let store = crate::keystore::tests::any_store();
        let first = layer.enter(&store, 1).unwrap();
        assert_eq!(
            layer.enter(&store, 1).err(),
            Some("max_in_flight is reached")
        );
        assert_eq!(metrics.in_flight.get(), 1);
        drop(first);
        assert_eq!(metrics.in_flight.get(), 0);
        let permits: Vec<_> = (0..100)
            .map_while(|_| layer.enter(&store, 100).ok())
            .collect();
        assert!(
            (80..95).contains(&permits.len()),
            "the share of one store: {}",
            permits.len()
        );
        assert_eq!(metrics.in_flight.get(), permits.len() as i64);
        drop(permits);
        assert_eq!(
            (metrics.in_flight.get(), layer.inside.load(Ordering::SeqCst)),
            (0, 0)
        );
    }
}
