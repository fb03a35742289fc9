//! Limits of clients without a verified signature: memory, lines of the log and of the audit trail, and rejected requests per second.
//!
//! Memory and lines are bounded for the whole process, rejected requests per second and source. Lines that are not written are counted.

mod budget;
mod failures;
mod line_budget;
mod metrics;
mod rate_limit;

use std::time::{Duration, Instant};

use tokio::time::sleep;

pub(super) use budget::{Budget, ClientClass, HeldBytes};
pub(super) use failures::{FailureLine, Failures};
pub(super) use line_budget::{LineBudget, LineKind};
pub(super) use metrics::UnverifiedMetrics;
pub(super) use rate_limit::RateLimit;

use crate::audit::{Entry, Security, Trail};
use crate::connections::Source;
use crate::json_line::OutsideText;

/// The interval between checks for aggregate lines that are due.
const TICK: Duration = Duration::from_secs(1);

/// The length of a line of the audit trail without its texts from outside, in bytes; rounded up.
const AUDIT_LINE: usize = 768;

/// The limits of all clients without a verified signature. Clones share them.
#[derive(Clone)]
pub(super) struct UnverifiedLimits {
    pub budget: Budget,
    pub lines: LineBudget,
    pub rate_limit: RateLimit,
    failures: Failures,
    trail: Option<Trail>,
}

impl UnverifiedLimits {
    /// Creates the limits of one server. Failed authentications are recorded in `trail`.
    pub(super) fn new(metrics: &UnverifiedMetrics, trail: Option<Trail>) -> Self {
        Self {
            budget: Budget::new(metrics),
            lines: LineBudget::new(metrics),
            rate_limit: RateLimit::new(metrics),
            failures: Failures::default(),
            trail,
        }
    }

    /// Records a failed authentication: the first one of a source at once, further ones as a count in the next aggregate line.
    pub(super) fn record_failure(&self, source: &Source, first: &Security<'_>) {
        let Some(trail) = &self.trail else {
            return;
        };
        let texts = [&first.reason, &first.client_subject].into_iter().flatten();
        let cost = AUDIT_LINE + texts.map(OutsideText::logged_length).sum::<usize>();
        let now = Instant::now();
        let line = self
            .failures
            .note(source, now, || self.can_record(cost, now));
        if line == FailureLine::Own {
            trail.note(Entry::security(first));
        }
    }

    /// Writes aggregate lines when they are due. Never returns.
    pub(super) async fn report(&self) {
        loop {
            sleep(TICK).await;
            let now = Instant::now();
            self.write(self.failures.take_due(now), now);
            self.lines.report(now);
        }
    }

    /// Writes all remaining aggregate lines, before the process ends.
    pub(super) fn report_all(&self) {
        let now = Instant::now();
        self.write(self.failures.take_all(), now);
        self.lines.report_all();
    }

    fn can_record(&self, bytes: usize, now: Instant) -> bool {
        self.lines.admits(LineKind::Audit, bytes, now)
    }

    /// Writes one line per source while the line budget lasts. One line counts the failures of all other sources and of evicted sources.
    fn write(&self, due: failures::Due, now: Instant) {
        let mut other = due.other;
        for (source, count) in due.sources {
            match self.can_record(AUDIT_LINE, now) {
                true => self.write_aggregate(&source.to_string(), count),
                false => other += count,
            }
        }
        match due.is_other_due {
            true if other > 0 => self.write_aggregate("other", other),
            true => {}
            false => self.failures.put_back(other),
        }
    }

    fn write_aggregate(&self, source: &str, count: u64) {
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
