//! A key store's share of the permits: a store that floods the proxy leaves permits for the others.
//!
//! A store may take [`PER_FREE_PERMIT`] permits for each permit that is still free. So a single store gets eight ninths of all permits. Two stores that
//! flood the proxy get almost half each. A store with few requests always gets a permit. The rule needs no configured number of stores.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The number of permits that a store may take for each permit that is free.
const PER_FREE_PERMIT: usize = 8;

/// One request's permit in the share of its store; released when it is dropped.
#[derive(Debug)]
pub(super) struct StorePermit(Arc<AtomicUsize>);

impl Drop for StorePermit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Returns a permit for one more request of a store; `None` when the share of the store is used up.
/// `store_requests` counts the requests of the store. `in_flight` is the number of requests in flight of all stores, including this one,
/// and `max` is their limit.
pub(super) fn take(
    store_requests: &Arc<AtomicUsize>,
    in_flight: usize,
    max: usize,
) -> Option<StorePermit> {
    let before = store_requests.fetch_add(1, Ordering::AcqRel);
    let permit = StorePermit(Arc::clone(store_requests));
    let free = max.saturating_sub(in_flight.saturating_sub(1));
    (before < free.saturating_mul(PER_FREE_PERMIT)).then_some(permit)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Acquires permits for these stores in turn until no store gets one. Returns the number of permits of each store.
    fn flooded(stores: usize, max: usize) -> Vec<usize> {
        let counts: Vec<Arc<AtomicUsize>> = (0..stores).map(|_| Arc::default()).collect();
        let mut permits = Vec::new();
        loop {
            let before = permits.len();
            for store_requests in &counts {
                permits.extend(take(store_requests, permits.len() + 1, max));
            }
            if permits.len() == before {
                break;
            }
        }
        let load = |count: &Arc<AtomicUsize>| count.load(Ordering::Acquire);
        let counted = counts.iter().map(load).collect();
        drop(permits);
        assert!(counts.iter().all(|count| load(count) == 0));
        counted
    }

    #[test]
    fn stores_that_flood_the_proxy_leave_permits_free() {
        assert_eq!(flooded(1, 512), [456]);
        let two = flooded(2, 512);
        assert!(two.iter().all(|n| (235..=245).contains(n)), "{two:?}");
        for max in 1..=8 {
            assert_eq!(flooded(1, max), [max], "one store may use up a small limit");
        }
    }

    #[test]
    fn a_store_with_few_requests_gets_permits_during_a_flood() {
        let (flood, few) = (Arc::default(), Arc::default());
        let mut permits = Vec::new();
        while let Some(permit) = take(&flood, permits.len() + 1, 512) {
            permits.push(permit);
        }
        for n in 1..=40 {
            let permit = take(&few, permits.len() + 1, 512);
            permits.push(permit.unwrap_or_else(|| panic!("request {n}")));
        }
    }
}
