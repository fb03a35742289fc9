//! How many requests per second a source gets whose clients are unknown and whose requests are not signed. More of them wait.
//!
//! A refusal costs the proxy about 80 µs of CPU, and less for the client: it may send the next request before it has the answer. Over HTTP/1.1
//! the answer waits, which keeps the next request of the connection from being read. Over HTTP/2 the next request of the connection waits to be
//! read ([`Brake`](crate::server::connection::guard::Brake)), because answers that wait would take memory for each of its streams. All connections of a
//! source share one rate. A hash of the source selects its rate among a fixed number. A stranger cannot fill a table this way, and two
//! sources with one hash share a rate.
//!
//! # Invariants
//! - Over HTTP/1.1 only refusals wait. Over HTTP/2 the first request of a connection does not wait, unless the next one begins before its body is
//!   complete; and none does after one was verified.
//! - Nothing of a source waits that had a verified request lately or is shared.
//! - However many connections a source may have, its rate holds once its burst is used.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use prometheus::IntCounter;

use super::metrics::StrangerMetrics;
use crate::connections::Source;

/// Between two refusals of one source: 250 per second, about 2 % of a CPU.
const INTERVAL: Duration = Duration::from_millis(4);

/// The number of refusals that are not delayed after a quiet time. A client with a wrong secret reads its errors at once.
const BURST: u32 = 1_000;

/// The longest wait of a source with few connections: the answer is in time for the client's own timeout.
const MAX_WAIT: Duration = Duration::from_millis(150);

/// The number of rates; 32 KiB of memory.
const RATES: usize = 4_096;

/// The rates of all sources. Clones share them.
#[derive(Clone)]
pub(in crate::server) struct Pace(Arc<Inner>);

struct Inner {
    began: Instant,
    hasher: RandomState,
    /// When the burst of a source will be unused again, in microseconds since `began`.
    free_at: Vec<AtomicU64>,
    delayed: IntCounter,
}

impl Pace {
    pub(super) fn new(metrics: &StrangerMetrics) -> Self {
        Self(Arc::new(Inner {
            began: Instant::now(),
            hasher: RandomState::new(),
            free_at: (0..RATES).map(|_| AtomicU64::new(0)).collect(),
            delayed: metrics.delayed.with_label_values::<&str>(&[]),
        }))
    }

    /// Returns how long the next request of this source is to wait, or its refusal. Counts the request, and the wait in the metrics.
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

    /// Counts a request of this source, and returns how long it would have to wait. `connections` is how many the source may have at once:
    /// the longest wait is the time that one request of each takes at the rate.
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
        // Beyond the longest wait nothing is owed: a source that stops serves its time at once.
        let owed = |at: u64| (at.max(now) + micros(INTERVAL)).min(now + burst + most);
        let (ordering, otherwise) = (Ordering::AcqRel, Ordering::Acquire);
        let before = free_at.fetch_update(ordering, otherwise, |at| Some(owed(at)));
        let after = owed(before.unwrap_or(now));
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

    /// As many connections as a source may have by default.
    const FEW: usize = 32;

    fn pace() -> Pace {
        Pace::new(&StrangerMetrics::declare(&Metrics::default()).unwrap())
    }

    fn source(n: u8) -> Source {
        Source::from(IpAddr::from([127, 0, 0, n]))
    }

    #[test]
    fn a_burst_is_free_and_then_each_refusal_waits_for_the_one_before() {
        let (pace, start) = (pace(), Instant::now());
        for _ in 0..BURST {
            assert_eq!(pace.wait(&source(1), FEW, start), Duration::ZERO);
        }
        assert_eq!(pace.wait(&source(1), FEW, start), INTERVAL);
        assert_eq!(pace.wait(&source(1), FEW, start), INTERVAL * 2);
        assert_eq!(pace.0.delayed.get(), 2);
        let later = start + INTERVAL * 12;
        assert_eq!(pace.wait(&source(1), FEW, later), Duration::ZERO);
    }

    /// One connection whose next request comes as soon as it has its answer.
    #[test]
    fn the_rate_of_a_connection_is_bounded() {
        let (pace, start) = (pace(), Instant::now());
        let (mut now, mut answers) = (start, 0);
        while now < start + Duration::from_secs(60) {
            now += pace.wait(&source(1), FEW, now) + Duration::from_micros(80);
            answers += 1;
        }
        let most = BURST + 60 * 250;
        assert!((most - 100..=most + 1).contains(&answers), "{answers}");
    }

    /// Connections of one source, each of which sends its next request as soon as it has its answer.
    #[test]
    fn the_rate_of_many_connections_is_that_of_one() {
        for connections in [1, 32, 100, 512] {
            let (pace, start) = (pace(), Instant::now());
            let (mut due, mut answers) = (vec![start; connections], 0);
            let end = start + Duration::from_secs(60);
            // The connection whose answer comes next.
            while let Some(next) = due.iter_mut().min().filter(|next| **next < end) {
                *next += pace.wait(&source(1), connections, *next) + Duration::from_micros(80);
                answers += 1;
            }
            let most = BURST + 60 * 250;
            let spare = u32::try_from(connections).unwrap();
            assert!(
                (most - 100..=most + 2 * spare).contains(&answers),
                "{connections}: {answers}"
            );
        }
    }

    #[test]
    fn no_refusal_waits_longer_than_the_longest_wait() {
        let (pace, start) = (pace(), Instant::now());
        for _ in 0..100_000 {
            assert!(pace.wait(&source(1), FEW, start) <= MAX_WAIT);
        }
        let quiet = start + MAX_WAIT + INTERVAL * BURST;
        assert_eq!(pace.wait(&source(1), FEW, quiet), Duration::ZERO);
    }
}
