//! Aggregates events that clients can cause without limit into a bounded number of log lines: the first event is logged at once, the others as one line
//! per period with their count.

use crate::sync::poisoned;
use std::sync::Mutex;
use std::time::Duration;

/// The time between two aggregated lines.
pub const PERIOD: Duration = Duration::from_secs(10);

/// Counts events of the same type. Keeps the last one as an example.
#[derive(Debug)]
pub struct Tally<T>(Mutex<Counted<T>>);

#[derive(Debug)]
struct Counted<T> {
    is_logged: bool,
    count: u64,
    last: Option<T>,
}

impl<T> Default for Tally<T> {
    fn default() -> Self {
        Self(Mutex::new(Counted {
            is_logged: false,
            count: 0,
            last: None,
        }))
    }
}

impl<T> Tally<T> {
    /// Counts an event. Returns it if it is the first one of a period: then the caller logs it now, and the next aggregated line does not count it.
    pub fn add(&self, event: T) -> Option<T> {
        let mut counted = self.0.lock().unwrap_or_else(poisoned);
        if !counted.is_logged {
            counted.is_logged = true;
            return Some(event);
        }
        counted.count += 1;
        counted.last = Some(event);
        None
    }

    /// Ends a period. Returns the number of events since the last line, and the last event. `None` if there was no event; then the next event is logged
    /// at once.
    pub fn end_period(&self) -> Option<(u64, T)> {
        let mut counted = self.0.lock().unwrap_or_else(poisoned);
        let Some(last) = counted.last.take() else {
            counted.is_logged = false;
            return None;
        };
        Some((std::mem::take(&mut counted.count), last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_event_is_logged_at_once_and_the_rest_as_counts() {
        let tally = Tally::default();
        assert_eq!(tally.add("a"), Some("a"));
        assert_eq!((tally.add("b"), tally.add("c")), (None, None));
        assert_eq!(tally.end_period(), Some((2, "c")));
        assert_eq!(tally.add("d"), None, "the flood continues");
        assert_eq!(tally.end_period(), Some((1, "d")));
        assert_eq!(tally.end_period(), None);
        assert_eq!(tally.add("e"), Some("e"), "a new flood");
    }
}
