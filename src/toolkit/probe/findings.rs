//! The results of a probe, collected in order.

use super::report::{Check, Report};

/// The results so far.
pub(super) struct Findings<'a> {
    pub(super) report: Report,
    pub(super) on_check: &'a mut dyn FnMut(&Check),
}

impl Findings<'_> {
    pub(super) fn add(&mut self, check: Check) {
        (self.on_check)(&check);
        self.report.checks.push(check);
    }

    pub(super) fn skip(&mut self, names: &[&'static str], why: &str) {
        for name in names {
            self.add(Check::skipped(name, why));
        }
    }
}
