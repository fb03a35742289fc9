//! Limits a warning that many requests may cause to one line per period.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::sync::poisoned;

/// The shortest interval between two lines.
const PERIOD: Duration = Duration::from_secs(60);

/// A warning that is logged at most once per period.
#[derive(Debug, Default)]
pub struct SpacedWarning(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    logged_at: Option<Instant>,
    unlogged: u64,
}

impl SpacedWarning {
    /// Returns none if this warning must not be logged. Otherwise returns the number of warnings that were not logged since the last line.
    pub fn next(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(poisoned);
        let since = |at: Instant| now.saturating_duration_since(at);
        if state.logged_at.is_some_and(|at| since(at) < PERIOD) {
            state.unlogged += 1;
            return None;
        }
        state.logged_at = Some(now);
        Some(std::mem::take(&mut state.unlogged))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_per_period_counts_the_warnings_between() {
        let (warning, start) = (SpacedWarning::default(), Instant::now());
        assert_eq!(warning.next(start), Some(0));
        assert_eq!(warning.next(start), None);
        assert_eq!(warning.next(start + PERIOD / 2), None);
        assert_eq!(warning.next(start + PERIOD), Some(2));
        assert_eq!(warning.next(start + PERIOD * 2), Some(0));
    }
}
