//! The request quota of a store, in cryptographic requests per second.

use std::num::NonZeroU32;

use governor::{DefaultDirectRateLimiter, Quota as Rate, RateLimiter};

use crate::simulator::wire::exception::{Exception, ExceptionKind};

/// A quota and its usage.
pub(in crate::simulator) struct StoreQuota(DefaultDirectRateLimiter);

impl StoreQuota {
    /// Returns a quota of `rate` requests per second, with bursts of the same size. A rate of 0 counts as 1.
    pub(in crate::simulator) fn per_second(rate: u32) -> Self {
        let rate = NonZeroU32::new(rate).unwrap_or(NonZeroU32::MIN);
        Self(RateLimiter::direct(Rate::per_second(rate)))
    }

    /// Consumes one request of the quota.
    pub(in crate::simulator) fn take(&self) -> Result<(), Exception> {
        let too_many = "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls.";
        let taken = self.0.check();
        taken.map_err(|_| ExceptionKind::Throttling.with_message(too_many))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quota_limits_bursts() {
        let quota = StoreQuota::per_second(3);
        let taken = (0..20).filter(|_| quota.take().is_ok()).count();
        assert!((3..=5).contains(&taken), "{taken}");
        assert_eq!(StoreQuota::per_second(0).take().map_err(|e| e.kind), Ok(()));
    }
}
