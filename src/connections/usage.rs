//! Whether a connection is in use: read by its timeouts and by the pool, without a lock.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The requests of one connection.
#[derive(Debug)]
pub struct Usage {
    began: Instant,
    requests: AtomicUsize,
    /// In nanoseconds since it began: of two requests in turn, the later end is later here, too.
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

    /// When the connection was accepted.
    pub fn began(&self) -> Instant {
        self.began
    }

    /// A request begins.
    pub fn request_begins(&self) {
        self.requests.fetch_add(1, Ordering::AcqRel);
    }

    /// A request has ended.
    pub fn request_ends(&self) {
        let age = u64::try_from(self.began.elapsed().as_nanos());
        let age = age.unwrap_or(u64::MAX);
        self.idle_since.store(age, Ordering::Release);
        self.requests.fetch_sub(1, Ordering::AcqRel);
    }

    /// Since when there has been no request in progress; `None` while there is one.
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
