//! The quota of a key store: a rate in requests per second, and a burst that is available after a quiet time (GCRA).

use std::num::NonZeroU32;

use governor::RateLimiter;
use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use prometheus::IntCounter;

use super::settings::QuotaSettings;

/// A quota and its use.
pub struct Quota<C: Clock = DefaultClock> {
    settings: QuotaSettings,
    limiter: RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<C::Instant>>,
    rejections: IntCounter,
}

impl Quota {
    /// Creates an unused quota.
    pub(super) fn new(settings: QuotaSettings, rejections: IntCounter) -> Self {
        Self::by_clock(settings, rejections, DefaultClock::default())
    }
}

impl<C: Clock> Quota<C> {
    fn by_clock(settings: QuotaSettings, rejections: IntCounter, clock: C) -> Self {
        let at_least_one = |n: u32| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
        let rate = governor::Quota::per_second(at_least_one(settings.rate));
        let quota = rate.allow_burst(at_least_one(settings.burst));
        Self {
            settings,
            limiter: RateLimiter::direct_with_clock(quota, clock),
            rejections,
        }
    }

    /// Returns its settings.
    pub(super) fn settings(&self) -> QuotaSettings {
        self.settings
    }

    /// Uses one request of the quota. Returns false if none was left. Never waits.
    pub fn take(&self) -> bool {
        let is_left = self.limiter.check().is_ok();
        if !is_left {
            self.rejections.inc();
        }
        is_left
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use governor::clock::FakeRelativeClock;
    use std::time::Duration;

    /// Creates a quota with a clock that the test advances.
    fn quota(rate: u32, burst: u32) -> (Quota<FakeRelativeClock>, FakeRelativeClock) {
        let rejections = IntCounter::new("rejections", "Rejections.").unwrap();
        let (settings, clock) = (QuotaSettings { rate, burst }, FakeRelativeClock::default());
        (Quota::by_clock(settings, rejections, clock.clone()), clock)
    }

    fn taken<C: Clock>(quota: &Quota<C>, attempts: usize) -> usize {
        (0..attempts).filter(|_| quota.take()).count()
    }

    #[test]
    fn the_whole_burst_is_available_at_once() {
        let (quota, _) = quota(1, 3);
        assert_eq!(taken(&quota, 10), 3);
        assert_eq!(quota.rejections.get(), 7);
    }

    #[test]
    fn the_quota_refills_at_its_rate() {
        let (quota, clock) = quota(1_000, 1);
        assert_eq!(taken(&quota, 2), 1);
        clock.advance(Duration::from_micros(900));
        assert_eq!(taken(&quota, 1), 0, "too early");
        clock.advance(Duration::from_micros(100));
        assert_eq!(taken(&quota, 2), 1);
    }
}
