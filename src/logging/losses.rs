//! Counts lost lines or spans, for the metrics and for the log.

use prometheus::{IntCounter, IntCounterVec};

/// Losses since the start. The counter of the metrics may be declared later.
#[derive(Default)]
pub(super) struct Losses {
    unreported: u64,
    uncounted: u64,
    counter: Option<IntCounter>,
}

impl Losses {
    /// Counts further losses.
    pub(super) fn add(&mut self, lost: u64) {
        self.unreported += lost;
        match &self.counter {
            Some(counter) => counter.inc_by(lost),
            None => self.uncounted += lost,
        }
    }

    /// Sets the counter (without labels), which then includes earlier losses.
    pub(super) fn count_in(&mut self, counter: &IntCounterVec) {
        let counter = counter.with_label_values::<&str>(&[]);
        counter.inc_by(std::mem::take(&mut self.uncounted));
        self.counter = Some(counter);
    }

    /// Returns the losses since the last call.
    pub(super) fn take_unreported(&mut self) -> u64 {
        std::mem::take(&mut self.unreported)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn losses_before_the_counter_is_declared_are_counted() {
        let metrics = Metrics::default();
        let mut losses = Losses::default();
        losses.add(3);
        losses.count_in(&metrics.counter("xks_test_total", "A test.", &[]).unwrap());
        losses.add(2);
        let text = String::from_utf8(metrics.render().unwrap()).unwrap();
        assert!(text.contains("xks_test_total 5"), "{text}");
        assert_eq!((losses.take_unreported(), losses.take_unreported()), (5, 0));
    }
}
