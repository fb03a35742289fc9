//! Time: the one [`Deadline`] that a request carries from the edge to the device, and moments as text.
//!
//! A deadline is made once, by the server's deadline layer, and handed down; no room makes a new one for the same request.

mod stamp;

use std::time::{Duration, Instant};

pub use stamp::push_utc;

/// The moment after which nobody waits for the answer any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// The deadline `budget` from now.
    pub fn after(budget: Duration) -> Self {
        Self(Instant::now() + budget)
    }

    /// The moment itself, for timers.
    pub fn instant(self) -> Instant {
        self.0
    }

    /// Whether it is too late.
    pub fn has_passed(self) -> bool {
        Instant::now() >= self.0
    }

    /// What is left; zero when it has passed.
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_passes() {
        let past = Deadline::after(Duration::ZERO);
        assert!(past.has_passed());
        assert_eq!(past.remaining(), Duration::ZERO);
        let far = Deadline::after(Duration::from_secs(3_600));
        assert!(!far.has_passed() && far.remaining() > Duration::from_secs(60));
        assert!(past < far);
    }
}
