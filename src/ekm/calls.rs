//! How many HSM calls one request has caused.
//!
//! # Invariants
//! - A call is counted before it begins, and none begins after the count was taken: the count is exact, also when a hedged job is still queued.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// The bit that says that the count was taken. No request makes so many calls.
const CLOSED: u32 = 1 << 31;

/// Counts the HSM calls of one request. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct CallCount(Arc<AtomicU32>);

impl CallCount {
    /// Counts a call that is about to begin. Returns false when the count was taken already: then the call must not begin.
    #[must_use = "a call that is not counted must not begin"]
    pub fn begin(&self) -> bool {
        self.0.fetch_add(1, Ordering::AcqRel) & CLOSED == 0
    }

    /// Returns the number of calls, and keeps any further one from beginning. Only the first result is the number.
    pub fn close(&self) -> u32 {
        self.0.fetch_or(CLOSED, Ordering::AcqRel) & !CLOSED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_call_begins_after_the_count_was_taken() {
        let calls = CallCount::default();
        assert!(calls.begin() && calls.clone().begin());
        assert_eq!(calls.close(), 2);
        assert!(!calls.begin());
    }

    #[test]
    fn calls_that_race_with_the_end_are_counted_or_do_not_begin() {
        let calls = CallCount::default();
        let counted = std::thread::scope(|scope| {
            let began: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..10_000).filter(|_| calls.begin()).count()))
                .collect();
            let counted = calls.close();
            let began = began.into_iter().map(|thread| thread.join().unwrap());
            (counted as usize, began.sum::<usize>())
        });
        assert_eq!(counted.0, counted.1);
    }
}
