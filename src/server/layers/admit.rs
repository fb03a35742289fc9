//! Admits a bounded number of verified requests. The others are rejected at once, because KMS handles a ThrottlingException better than a late response.
//!
//! # Invariants
//! - Only an [`Authenticated`] request takes a permit, so unverified clients do not use up the permits of verified ones.

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

/// Creates [`Admit`]. All services of one layer share its limit.
#[derive(Clone)]
pub(super) struct AdmitLayer {
    admitted: Arc<AtomicUsize>,
    shed: IntCounter,
    in_flight: IntGauge,
}

impl AdmitLayer {
    /// Creates a layer that counts requests in these metrics.
    pub(super) fn new(metrics: &ServerMetrics) -> Self {
        Self {
            admitted: Arc::default(),
            shed: metrics.shed.clone(),
            in_flight: metrics.in_flight.clone(),
        }
    }

    /// Returns a permit for one request of this store. At most `max` permits exist.
    ///
    /// # Errors
    /// Returns the reason when all permits are taken, or as many as this store may take.
    fn enter(&self, store: &KeyStore, max: usize) -> Result<Permit, &'static str> {
        let before = self.admitted.fetch_add(1, Ordering::AcqRel);
        self.in_flight.inc();
        let in_flight = InFlight {
            admitted: Arc::clone(&self.admitted),
            gauge: self.in_flight.clone(),
        };
        if before >= max {
            return Err("max_in_flight is reached");
        }
        let store_permit = share::take(&store.in_flight, before + 1, max);
        let store_permit =
            store_permit.ok_or("the key store's share of max_in_flight is used up")?;
        Ok(Permit {
            _store_permit: store_permit,
            _in_flight: in_flight,
        })
    }
}

/// The permit of one request; released when it is dropped.
struct Permit {
    _store_permit: StorePermit,
    _in_flight: InFlight,
}

/// Counts one request as in flight until this is dropped, also when the request's future is dropped.
struct InFlight {
    admitted: Arc<AtomicUsize>,
    gauge: IntGauge,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.admitted.fetch_sub(1, Ordering::AcqRel);
        self.gauge.dec();
    }
}

/// Limits the requests in flight in the inner service.
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
        let responding = self.inner.call(request);
        Box::pin(async move {
            let response = responding.await;
            drop(permit);
            response
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn a_request_over_the_limit_is_rejected_and_permits_are_released() {
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
            (
                metrics.in_flight.get(),
                layer.admitted.load(Ordering::SeqCst)
            ),
            (0, 0)
        );
    }
}
