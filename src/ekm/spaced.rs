//! A warning that many requests would cause: one line per period, with the number of those left out.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::sync::poisoned;

/// Between two lines.
const PERIOD: Duration = Duration::from_secs(60);

/// One warning of one object.
#[derive(Debug, Default)]
pub struct SpacedWarning(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    logged_at: Option<Instant>,
    unlogged: u64,
}

impl SpacedWarning {
    /// Returns how many warnings had no line since the last one, if this one is to have a line.
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
    fn one_line_per_period_says_how_many_it_stands_for() {
        let (warning, start) = (SpacedWarning::default(), Instant::now());
        assert_eq!(warning.next(start), Some(0));
        assert_eq!(warning.next(start), None);
        assert_eq!(warning.next(start + PERIOD / 2), None);
        assert_eq!(warning.next(start + PERIOD), Some(2));
        assert_eq!(warning.next(start + PERIOD * 2), Some(0));
    }
}
