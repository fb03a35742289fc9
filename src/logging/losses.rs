//! What was lost, counted for the metrics and to be told.

use prometheus::{IntCounter, IntCounterVec};

/// Losses since the start; the counter may come later.
#[derive(Default)]
pub(super) struct Losses {
    untold: u64,
    uncounted: u64,
    counter: Option<IntCounter>,
}

impl Losses {
    /// Counts so many more.
    pub(super) fn add(&mut self, lost: u64) {
        self.untold += lost;
        match &self.counter {
            Some(counter) => counter.inc_by(lost),
            None => self.uncounted += lost,
        }
    }

    /// Counts here (a counter without labels), also what was lost before.
    pub(super) fn count_in(&mut self, counter: &IntCounterVec) {
        let counter = counter.with_label_values::<&str>(&[]);
        counter.inc_by(std::mem::take(&mut self.uncounted));
        self.counter = Some(counter);
    }

    /// How many since this was last asked.
    pub(super) fn take_untold(&mut self) -> u64 {
        std::mem::take(&mut self.untold)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn what_was_lost_before_there_was_a_counter_is_counted() {
        let metrics = Metrics::default();
        let mut losses = Losses::default();
        losses.add(3);
        losses.count_in(&metrics.counter("xks_test_total", "A test.", &[]).unwrap());
        losses.add(2);
        let text = String::from_utf8(metrics.render().unwrap()).unwrap();
        assert!(text.contains("xks_test_total 5"), "{text}");
        assert_eq!((losses.take_untold(), losses.take_untold()), (5, 0));
    }
}
