//! Time: the [`Deadline`] of a request, and times as text.
//!
//! The server's deadline layer creates the deadline of a request. All lower layers use this deadline and never create another one.

mod stamp;

use std::time::{Duration, Instant};

pub use stamp::push_utc;

/// The time after which the client no longer waits for the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// Returns the deadline that is `budget` from now.
    pub fn after(budget: Duration) -> Self {
        Self(Instant::now() + budget)
    }

    /// Returns the deadline as an [`Instant`], for timers.
    pub fn instant(self) -> Instant {
        self.0
    }

    /// Returns whether the deadline has passed.
    pub fn has_passed(self) -> bool {
        Instant::now() >= self.0
    }

    /// Returns the time until the deadline. Zero when it has passed.
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
