//! How many refusals per second a source gets whose requests are not signed. More of them wait for their answers.
//!
//! A refusal costs the proxy about 80 µs of CPU, and less for the client: it may send the next request before it has the answer (pipelining). An
//! answer that waits keeps the next request of its HTTP/1.1 connection from being read. A hash of the source selects its rate among a fixed number.
//! So there is no table that a stranger could fill, and two sources with one hash share a rate.
//!
//! # Invariants
//! - Only refusals of unknown sources wait: a request with a good signature, and a source that had one lately or is shared, never do.
//! - No answer waits longer than [`MAX_WAIT`].

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

/// The longest wait: the answer is in time for the client's own timeout.
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

    /// How long the next refusal of this source is to wait; counts it.
    pub(in crate::server) fn wait(&self, source: &Source, now: Instant) -> Duration {
        let wait = self.next(source, now);
        if !wait.is_zero() {
            self.0.delayed.inc();
        }
        wait
    }

    fn next(&self, source: &Source, now: Instant) -> Duration {
        let rate = self.0.hasher.hash_one(source) as usize % RATES;
        let Some(free_at) = self.0.free_at.get(rate) else {
            return Duration::ZERO;
        };
        let now = micros(now.saturating_duration_since(self.0.began));
        let (burst, most) = (micros(INTERVAL * BURST), micros(MAX_WAIT));
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
            assert_eq!(pace.wait(&source(1), start), Duration::ZERO);
        }
        assert_eq!(pace.wait(&source(1), start), INTERVAL);
        assert_eq!(pace.wait(&source(1), start), INTERVAL * 2);
        assert_eq!(pace.0.delayed.get(), 2);
        let later = start + INTERVAL * 12;
        assert_eq!(pace.wait(&source(1), later), Duration::ZERO);
    }

    /// One connection whose next request comes as soon as it has its answer.
    #[test]
    fn the_rate_of_a_connection_is_bounded() {
        let (pace, start) = (pace(), Instant::now());
        let (mut now, mut answers) = (start, 0);
        while now < start + Duration::from_secs(60) {
            now += pace.wait(&source(1), now) + Duration::from_micros(80);
            answers += 1;
        }
        let most = BURST + 60 * 250;
        assert!((most - 100..=most + 1).contains(&answers), "{answers}");
    }

    #[test]
    fn no_refusal_waits_longer_than_the_longest_wait() {
        let (pace, start) = (pace(), Instant::now());
        for _ in 0..100_000 {
            assert!(pace.wait(&source(1), start) <= MAX_WAIT);
        }
        let quiet = start + MAX_WAIT + INTERVAL * BURST;
        assert_eq!(pace.wait(&source(1), quiet), Duration::ZERO);
    }
}
