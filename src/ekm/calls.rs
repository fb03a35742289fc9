//! How many HSM calls one request has caused.
//!
//! # Invariants
//! - A call is counted before it begins, and none begins after the count was taken, also when a hedged job is still queued.
//! - The count is exact for every job that was answered before the count was taken. A job that is with an HSM at that moment counts for the
//!   calls that such a job usually makes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// The bit that says that the count was taken. No request makes so many calls.
const CLOSED: u32 = 1 << 31;

/// Counts the HSM calls of one request. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct CallCount(Arc<AtomicU32>);

impl CallCount {
    /// Counts so many calls that are about to begin. Returns false when the count was taken already: then they must not begin.
    #[must_use = "a call that is not counted must not begin"]
    pub fn begin(&self, calls: u32) -> bool {
        self.0.fetch_add(calls, Ordering::AcqRel) & CLOSED == 0
    }

    /// Of `counted` calls only `made` were made, or more. It changes nothing when the count was taken already.
    pub fn correct(&self, counted: u32, made: u32) {
        self.0
            .fetch_add(made.wrapping_sub(counted), Ordering::AcqRel);
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
        assert!(calls.begin(1) && calls.clone().begin(1));
        assert_eq!(calls.close(), 2);
        assert!(!calls.begin(1));
    }

    #[test]
    fn calls_that_race_with_the_end_are_counted_or_do_not_begin() {
        let calls = CallCount::default();
        let counted = std::thread::scope(|scope| {
            let began: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..10_000).filter(|_| calls.begin(1)).count()))
                .collect();
            let counted = calls.close();
            let began = began.into_iter().map(|thread| thread.join().unwrap());
            (counted as usize, began.sum::<usize>())
        });
        assert_eq!(counted.0, counted.1);
    }
}
