//! The quota of a key store: so many requests per second in the long run, so many at once after a quiet time (GCRA).

use std::num::NonZeroU32;

use governor::{DefaultDirectRateLimiter, RateLimiter};
use prometheus::IntCounter;

use super::settings::QuotaSettings;

/// A quota with what has been used of it.
pub struct Quota {
    settings: QuotaSettings,
    limiter: DefaultDirectRateLimiter,
    refusals: IntCounter,
}

impl Quota {
    /// A quota of which nothing has been used.
    pub(super) fn new(settings: QuotaSettings, refusals: IntCounter) -> Self {
        let at_least_one = |n: u32| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
        let rate = governor::Quota::per_second(at_least_one(settings.rate));
        let quota = rate.allow_burst(at_least_one(settings.burst));
        Self {
            settings,
            limiter: RateLimiter::direct(quota),
            refusals,
        }
    }

    /// What it was made of.
    pub(super) fn settings(&self) -> QuotaSettings {
        self.settings
    }

    /// Takes one request from it; says whether there was one left. Never waits.
    pub fn take(&self) -> bool {
        let is_left = self.limiter.check().is_ok();
        if !is_left {
            self.refusals.inc();
        }
        is_left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota(rate: u32, burst: u32) -> Quota {
        let refusals = IntCounter::new("refusals", "Refusals.").unwrap();
        Quota::new(QuotaSettings { rate, burst }, refusals)
    }

    #[test]
    fn the_burst_is_there_at_once_and_no_more() {
        let quota = quota(1, 3);
        let taken = (0..10).filter(|_| quota.take()).count();
        assert!((3..=4).contains(&taken), "{taken}");
        assert_eq!(quota.refusals.get(), 10 - taken as u64);
    }

    #[test]
    fn the_rate_comes_back() {
        let quota = quota(1_000, 1);
        assert!(quota.take());
        let began = std::time::Instant::now();
        while !quota.take() {
            assert!(began.elapsed().as_secs() < 10, "it never came back");
            std::thread::yield_now();
        }
    }
}
