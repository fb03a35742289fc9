//! The use of a connection: its requests in progress and its idle time. Timeouts and the pool read it without a lock.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The use of one connection.
#[derive(Debug)]
pub struct Usage {
    began: Instant,
    requests: AtomicUsize,
    /// The end of the last request, in nanoseconds since the accept. With this precision, the order of two ends is kept.
    idle_since: AtomicU64,
}

impl Usage {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            began: now,
            requests: AtomicUsize::new(0),
            idle_since: AtomicU64::new(0),
        }
    }

    /// Returns the time at which the connection was accepted.
    pub fn began(&self) -> Instant {
        self.began
    }

    /// Records the begin of a request.
    pub fn request_begins(&self) {
        self.requests.fetch_add(1, Ordering::AcqRel);
    }

    /// Records the end of a request.
    pub fn request_ends(&self) {
        let age = u64::try_from(self.began.elapsed().as_nanos());
        let age = age.unwrap_or(u64::MAX);
        self.idle_since.store(age, Ordering::Release);
        self.requests.fetch_sub(1, Ordering::AcqRel);
    }

    /// Returns the time since which no request has been in progress; `None` while a request is in progress.
    pub fn idle_since(&self) -> Option<Instant> {
        let is_idle = self.requests.load(Ordering::Acquire) == 0;
        let age = Duration::from_nanos(self.idle_since.load(Ordering::Acquire));
        is_idle.then(|| self.began + age)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_idle_between_its_requests() {
        let usage = Usage::new(Instant::now());
        assert_eq!(usage.idle_since(), Some(usage.began()));
        usage.request_begins();
        usage.request_begins();
        usage.request_ends();
        assert_eq!(usage.idle_since(), None);
        usage.request_ends();
        assert!(usage.idle_since() >= Some(usage.began()));
    }
}
