//! A key store's share of the requests that are worked on at a time: one that floods the proxy leaves room for the others.
//!
//! A store may have as many requests inside as [`GREED`] times the places that are still free. So one alone gets eight ninths of all, two that
//! flood get almost half each, and whoever asks for little always finds a place. Nobody has to be told how many stores there are.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many places a store may take for each that is left free.
const GREED: usize = 8;

/// One request's place in its store's share; given back when it is dropped.
#[derive(Debug)]
pub(super) struct StorePermit(Arc<AtomicUsize>);

impl Drop for StorePermit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A place for one more request of the store whose requests `own` counts; none when its share is used up. `inside` requests, this one among
/// them, are worked on, of at most `max`.
pub(super) fn take(own: &Arc<AtomicUsize>, inside: usize, max: usize) -> Option<StorePermit> {
    let before = own.fetch_add(1, Ordering::AcqRel);
    let place = StorePermit(Arc::clone(own));
    let free = max.saturating_sub(inside.saturating_sub(1));
    (before < free.saturating_mul(GREED)).then_some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fills the proxy with requests of these stores in turn, until none gets any more; gives how many each has.
    fn flooded(stores: usize, max: usize) -> Vec<usize> {
        let counts: Vec<Arc<AtomicUsize>> = (0..stores).map(|_| Arc::default()).collect();
        let mut places = Vec::new();
        loop {
            let before = places.len();
            for own in &counts {
                places.extend(take(own, places.len() + 1, max));
            }
            if places.len() == before {
                break;
            }
        }
        let counted = counts.iter().map(|own| own.load(Ordering::Acquire));
        let counted = counted.collect();
        drop(places);
        assert!(counts.iter().all(|own| own.load(Ordering::Acquire) == 0));
        counted
    }

    #[test]
    fn who_floods_leaves_room() {
        assert_eq!(flooded(1, 512), [456]);
        let two = flooded(2, 512);
        assert!(two.iter().all(|n| (235..=245).contains(n)), "{two:?}");
        for max in 1..=8 {
            assert_eq!(
                flooded(1, max),
                [max],
                "a small bound is one store's to use up"
            );
        }
    }

    #[test]
    fn who_asks_for_little_finds_a_place() {
        let (flood, little) = (Arc::default(), Arc::default());
        let mut places = Vec::new();
        while let Some(place) = take(&flood, places.len() + 1, 512) {
            places.push(place);
        }
        for n in 1..=40 {
            let place = take(&little, places.len() + 1, 512);
            places.push(place.unwrap_or_else(|| panic!("request {n}")));
        }
    }
}
