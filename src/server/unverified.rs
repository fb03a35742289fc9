//! What clients without a verified signature may hold and cause: memory, lines of the log and of the audit trail, and refusals. Memory and lines
//! are bounded for the whole process, refusals per second by source; what is left out of the record is counted.

mod budget;
mod failures;
mod line_budget;
mod metrics;
mod pace;

use std::time::{Duration, Instant};

use tokio::time::sleep;

pub(super) use budget::{Budget, Held, Owner};
pub(super) use failures::{Failures, Told};
pub(super) use line_budget::{LineBudget, LineKind};
pub(super) use metrics::StrangerMetrics;
pub(super) use pace::Pace;

use crate::audit::{Entry, Security, Trail};
use crate::connections::Source;
use crate::json_line::OutsideText;

/// How often it is checked whether aggregate lines are due.
const TICK: Duration = Duration::from_secs(1);

/// What a line of the audit trail takes beside the texts from outside that are in it, in bytes; rounded up.
const AUDIT_LINE: usize = 768;

/// The limits of all clients whose signature is not verified. Clones share them.
#[derive(Clone)]
pub(super) struct Strangers {
    pub budget: Budget,
    pub lines: LineBudget,
    pub pace: Pace,
    failures: Failures,
    trail: Option<Trail>,
}

impl Strangers {
    /// The limits of one server; failed authentications are recorded in this trail.
    pub(super) fn new(metrics: &StrangerMetrics, trail: Option<Trail>) -> Self {
        Self {
            budget: Budget::new(metrics),
            lines: LineBudget::new(metrics),
            pace: Pace::new(metrics),
            failures: Failures::default(),
            trail,
        }
    }

    /// Records a failed authentication: the first of a source at once, those that follow as a number, with the next aggregate line.
    pub(super) fn record_failure(&self, source: &Source, first: &Security<'_>) {
        let Some(trail) = &self.trail else {
            return;
        };
        let texts = [&first.reason, &first.client_subject].into_iter().flatten();
        let cost = AUDIT_LINE + texts.map(OutsideText::logged_length).sum::<usize>();
        let now = Instant::now();
        let told = self
            .failures
            .note(source, now, || self.can_record(cost, now));
        if told == Told::AtOnce {
            trail.note(Entry::security(first));
        }
    }

    /// Writes the aggregate lines that are due, again and again. Never returns.
    pub(super) async fn report(&self) {
        loop {
            sleep(TICK).await;
            let now = Instant::now();
            self.write(self.failures.take_due(now), now);
            self.lines.report(now);
        }
    }

    /// Writes every aggregate line that is still to come, for the end.
    pub(super) fn report_rest(&self) {
        let now = Instant::now();
        self.write(self.failures.take_all(), now);
        self.lines.report_rest();
    }

    fn can_record(&self, bytes: usize, now: Instant) -> bool {
        self.lines.admits(LineKind::Audit, bytes, now)
    }

    /// A line per source as far as there are bytes for it; the others, together with the sources that the table has evicted, in one.
    fn write(&self, due: failures::Due, now: Instant) {
        let mut other = due.other;
        for (source, count) in due.sources {
            match self.can_record(AUDIT_LINE, now) {
                true => self.aggregate(&source.to_string(), count),
                false => other += count,
            }
        }
        match due.is_other_due {
            true if other > 0 => self.aggregate("other", other),
            true => {}
            false => self.failures.put_back(other),
        }
    }

    fn aggregate(&self, source: &str, count: u64) {
        if let Some(trail) = &self.trail {
            trail.note(Entry::security(&Security {
                event: "authentication_failed",
                source: Some(source),
                count: Some(count),
                ..Security::default()
            }));
        }
    }
}
