//! The rate limit of unverified requests per unknown source. Requests over the limit wait.
//!
//! A rejection costs the proxy about 80 µs of CPU. It costs the client less, and the client may send the next request before it has the response. Over
//! HTTP/1.1 the response is delayed, so the next request of the connection is not read. Over HTTP/2 the proxy delays reading the connection's next request
//! (`Throttle` of the connection guard), because delayed responses would use memory for each stream.
//!
//! All connections of a source share one rate. A hash of the source selects its rate in a table of fixed size. So clients cannot fill a table, and two
//! sources with the same hash share a rate.
//!
//! # Invariants
//! - Over HTTP/1.1 only rejections wait. Over HTTP/2 the first request of a connection waits only if the next one begins before its body is complete. No
//!   request waits on a connection that has carried a verified request.
//! - No request waits whose source is shared or had a verified request in the last ten minutes.
//! - The rate of a source does not depend on the number of its connections, once its burst is used.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use prometheus::IntCounter;

use super::metrics::UnverifiedMetrics;
use crate::connections::Source;

/// The time between two rejections of one source: 250 per second, about 2 % of a CPU.
const INTERVAL: Duration = Duration::from_millis(4);

/// The number of rejections that are not delayed after a quiet time. So a client with a wrong secret gets its first errors at once.
const BURST: u32 = 1_000;

/// The longest delay of a source with few connections. It is shorter than the client's timeout.
const MAX_WAIT: Duration = Duration::from_millis(150);

/// The number of rates; 32 KiB of memory.
const RATES: usize = 4_096;

/// The rates of all sources. Clones share them.
#[derive(Clone)]
pub(in crate::server) struct RateLimit(Arc<Inner>);

struct Inner {
    began: Instant,
    hasher: RandomState,
    /// The time at which the whole burst of a source is available again, in microseconds since `began`.
    free_at: Vec<AtomicU64>,
    delayed: IntCounter,
}

impl RateLimit {
    pub(super) fn new(metrics: &UnverifiedMetrics) -> Self {
        Self(Arc::new(Inner {
            began: Instant::now(),
            hasher: RandomState::new(),
            free_at: (0..RATES).map(|_| AtomicU64::new(0)).collect(),
            delayed: metrics.delayed.with_label_values::<&str>(&[]),
        }))
    }

    /// Counts a request of this source and returns how long it, or its rejection, has to wait. Also counts the delay in the metrics.
    pub(in crate::server) fn wait(
        &self,
        source: &Source,
        connections: usize,
        now: Instant,
    ) -> Duration {
        let wait = self.count(source, connections, now);
        if !wait.is_zero() {
            self.0.delayed.inc();
        }
        wait
    }

    /// Counts a request of this source and returns how long it would have to wait. `connections` is the maximum number of connections of the source.
    /// The longest delay is the time in which the rate allows one request of each connection.
    pub(in crate::server) fn count(
        &self,
        source: &Source,
        connections: usize,
        now: Instant,
    ) -> Duration {
        let connections = u32::try_from(connections).unwrap_or(u32::MAX);
        let most = INTERVAL.saturating_mul(connections).max(MAX_WAIT);
        self.next(source, most, now)
    }

    fn next(&self, source: &Source, most: Duration, now: Instant) -> Duration {
        let rate = self.0.hasher.hash_one(source) as usize % RATES;
        let Some(free_at) = self.0.free_at.get(rate) else {
            return Duration::ZERO;
        };
        let now = micros(now.saturating_duration_since(self.0.began));
        let (burst, most) = (micros(INTERVAL * BURST), micros(most));
        // The time does not grow beyond the longest delay, so a source that pauses recovers soon.
        let advanced = |at: u64| (at.max(now) + micros(INTERVAL)).min(now + burst + most);
        let (ordering, otherwise) = (Ordering::AcqRel, Ordering::Acquire);
        let before = free_at.fetch_update(ordering, otherwise, |at| Some(advanced(at)));
        let after = advanced(before.unwrap_or(now));
        Duration::from_micros(after.saturating_sub(now + burst))
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;
    use std::net::IpAddr;

    /// The default limit of connections per source.
    const FEW: usize = 32;

    fn rate_limit() -> RateLimit {
        RateLimit::new(&UnverifiedMetrics::declare(&Metrics::default()).unwrap())
    }

    fn source(n: u8) -> Source {
        Source::from(IpAddr::from([127, 0, 0, n]))
    }

    #[test]
    fn a_burst_is_not_delayed_and_later_rejections_wait_one_interval_each() {
        let (rate_limit, start) = (rate_limit(), Instant::now());
        for _ in 0..BURST {
            assert_eq!(rate_limit.wait(&source(1), FEW, start), Duration::ZERO);
        }
        assert_eq!(rate_limit.wait(&source(1), FEW, start), INTERVAL);
        assert_eq!(rate_limit.wait(&source(1), FEW, start), INTERVAL * 2);
        assert_eq!(rate_limit.0.delayed.get(), 2);
        let later = start + INTERVAL * 12;
        assert_eq!(rate_limit.wait(&source(1), FEW, later), Duration::ZERO);
    }

    /// One connection sends its next request as soon as it has the response.
    #[test]
    fn the_rate_of_a_connection_is_bounded() {
        let (rate_limit, start) = (rate_limit(), Instant::now());
        let (mut now, mut responses) = (start, 0);
        while now < start + Duration::from_secs(60) {
            now += rate_limit.wait(&source(1), FEW, now) + Duration::from_micros(80);
            responses += 1;
        }
        let most = BURST + 60 * 250;
        assert!((most - 100..=most + 1).contains(&responses), "{responses}");
    }

    /// Each connection of one source sends its next request as soon as it has the response.
    #[test]
    fn the_rate_of_many_connections_is_that_of_one() {
        for connections in [1, 32, 100, 512] {
            let (rate_limit, start) = (rate_limit(), Instant::now());
            let (mut due, mut responses) = (vec![start; connections], 0);
            let end = start + Duration::from_secs(60);
            // The connection that gets its response next.
            while let Some(next) = due.iter_mut().min().filter(|next| **next < end) {
                *next +=
                    rate_limit.wait(&source(1), connections, *next) + Duration::from_micros(80);
                responses += 1;
            }
            let most = BURST + 60 * 250;
            let spare = u32::try_from(connections).unwrap();
            assert!(
                (most - 100..=most + 2 * spare).contains(&responses),
                "{connections}: {responses}"
            );
        }
    }

    #[test]
    fn no_rejection_waits_longer_than_the_longest_delay() {
        let (rate_limit, start) = (rate_limit(), Instant::now());
        for _ in 0..100_000 {
            assert!(rate_limit.wait(&source(1), FEW, start) <= MAX_WAIT);
        }
        let quiet = start + MAX_WAIT + INTERVAL * BURST;
        assert_eq!(rate_limit.wait(&source(1), FEW, quiet), Duration::ZERO);
    }
}
