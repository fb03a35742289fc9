//! The request quota of a store: so many cryptographic requests per second, whatever the proxy could do.

use std::num::NonZeroU32;

use governor::{DefaultDirectRateLimiter, Quota as Rate, RateLimiter};

use crate::simulator::wire::exception::{Exception, Kind};

/// A quota with what has been used of it.
pub(in crate::simulator) struct Quota(DefaultDirectRateLimiter);

impl Quota {
    /// So many a second, and as many at once after a quiet second.
    pub(in crate::simulator) fn per_second(rate: u32) -> Self {
        let rate = NonZeroU32::new(rate).unwrap_or(NonZeroU32::MIN);
        Self(RateLimiter::direct(Rate::per_second(rate)))
    }

    /// Takes one request from it.
    pub(in crate::simulator) fn take(&self) -> Result<(), Exception> {
        let too_many = "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls.";
        let taken = self.0.check();
        taken.map_err(|_| Kind::Throttling.because(too_many))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_a_second_holds() {
        let quota = Quota::per_second(3);
        let taken = (0..20).filter(|_| quota.take().is_ok()).count();
        assert!((3..=5).contains(&taken), "{taken}");
        assert_eq!(Quota::per_second(0).take().map_err(|e| e.kind), Ok(()));
    }
}
