//! Counts the HSM calls of one request.
//!
//! # Invariants
//! - A call is counted before it begins. After the count was closed, no call begins, also if a hedged request is still queued.
//! - The count is exact for jobs that were answered before the count was closed. A job that an HSM is working on at that moment counts with the
//!   usual number of calls of such a job.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// The bit that is set when the count is closed. No request makes that many calls.
const CLOSED: u32 = 1 << 31;

/// The number of HSM calls of one request. Clones share the count.
#[derive(Clone, Debug, Default)]
pub struct CallCount(Arc<AtomicU32>);

impl CallCount {
    /// Counts `calls` calls before they begin. Returns false if the count is closed: then the calls must not begin.
    #[must_use = "a call that is not counted must not begin"]
    pub fn begin(&self, calls: u32) -> bool {
        self.0.fetch_add(calls, Ordering::AcqRel) & CLOSED == 0
    }

    /// Replaces `counted` calls by the `made` calls that took place. Has no effect after the count was closed.
    pub fn correct(&self, counted: u32, made: u32) {
        self.0
            .fetch_add(made.wrapping_sub(counted), Ordering::AcqRel);
    }

    /// Closes the count and returns the number of calls. Only the result of the first call is meaningful.
    pub fn close(&self) -> u32 {
        self.0.fetch_or(CLOSED, Ordering::AcqRel) & !CLOSED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_call_begins_after_the_count_was_closed() {
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
