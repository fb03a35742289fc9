//! The byte budget for the lines of the log and of the audit trail that unverified clients cause.
//!
//! # Invariants
//! - All kinds of lines of the whole process have [`BYTES_PER_SECOND`] together, and [`BURST`] after a quiet time.
//! - Events without a line are counted. Once per [`PERIOD`] the log contains their number.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use prometheus::IntCounter;

use super::metrics::UnverifiedMetrics;
use crate::sync::poisoned;

/// About a hundred lines per second. They show an operator what happens, and a day of them fits on a disk (5.7 GB).
const BYTES_PER_SECOND: u64 = 64 * 1024;

/// A few hundred lines. A client with a wrong secret causes them at once.
const BURST: u64 = 512 * 1024;

/// The time between two log lines with the number of events without a line.
const PERIOD: Duration = Duration::from_secs(10);

/// The kind of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum LineKind {
    /// A request, in the log.
    Request,
    /// A failed authentication, in the audit trail.
    Audit,
}

impl LineKind {
    const ALL: [Self; 2] = [Self::Request, Self::Audit];

    fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Audit => "audit",
        }
    }
}

/// The budget; clones share it.
#[derive(Clone)]
pub(in crate::server) struct LineBudget(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    unlogged: [(LineKind, IntCounter); 2],
}

struct State {
    left: u64,
    refilled: Instant,
    reported: Option<Instant>,
    /// Requests without a line since the last report.
    requests: u64,
}

impl LineBudget {
    pub(in crate::server) fn new(metrics: &UnverifiedMetrics) -> Self {
        let counter = |kind: LineKind| (kind, metrics.unlogged.with_label_values(&[kind.as_str()]));
        Self(Arc::new(Inner {
            state: Mutex::new(State {
                left: BURST,
                refilled: Instant::now(),
                reported: None,
                requests: 0,
            }),
            unlogged: LineKind::ALL.map(counter),
        }))
    }

    /// Reserves `bytes` of the budget and returns true if a line of this length may be written now. Otherwise counts the event.
    pub(in crate::server) fn admits(&self, kind: LineKind, bytes: usize, now: Instant) -> bool {
        let mut state = self.state();
        state.refill(now);
        let cost = u64::try_from(bytes).unwrap_or(u64::MAX);
        if let Some(left) = state.left.checked_sub(cost) {
            state.left = left;
            return true;
        }
        // Failed authentications are counted in the aggregate lines of the audit trail.
        state.requests += u64::from(kind == LineKind::Request);
        drop(state);
        let mut counters = self.0.unlogged.iter();
        if let Some((_, counter)) = counters.find(|(of, _)| *of == kind) {
            counter.inc();
        }
        false
    }

    /// Logs the number of requests without a line, at most once per period.
    pub(super) fn report(&self, now: Instant) {
        let mut state = self.state();
        let since = |at: Instant| now.saturating_duration_since(at);
        if state.reported.is_none_or(|at| since(at) >= PERIOD) && state.requests > 0 {
            state.reported = Some(now);
            state.report();
        }
    }

    /// Logs the number of requests without a line now, before the process ends.
    pub(super) fn report_all(&self) {
        let mut state = self.state();
        if state.requests > 0 {
            state.report();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(poisoned)
    }
}

impl State {
    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.refilled);
        let more = (passed.as_secs_f64() * BYTES_PER_SECOND as f64) as u64;
        // The fraction of a byte counts at the next refill.
        self.refilled += Duration::from_secs_f64(more as f64 / BYTES_PER_SECOND as f64);
        self.left = self.left.saturating_add(more).min(BURST);
    }

    fn report(&mut self) {
        let requests = std::mem::take(&mut self.requests);
        tracing::warn!(
            requests,
            "too many requests without a verified signature; these requests have no access log line"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    fn budget() -> (LineBudget, Metrics) {
        let metrics = Metrics::default();
        let declared = UnverifiedMetrics::declare(&metrics).unwrap();
        (LineBudget::new(&declared), metrics)
    }

    fn admitted(budget: &LineBudget, lines: usize, now: Instant) -> usize {
        let admits = |_: &usize| budget.admits(LineKind::Request, 1_024, now);
        (0..lines).filter(admits).count()
    }

    #[test]
    fn all_kinds_of_lines_share_one_burst_and_one_rate() {
        let ((budget, _), start) = (budget(), Instant::now());
        assert_eq!(admitted(&budget, 2_000, start), 512);
        assert!(!budget.admits(LineKind::Audit, 1_024, start));
        let second = Duration::from_secs(1);
        assert_eq!(admitted(&budget, 2_000, start + second), 64);
        assert_eq!(admitted(&budget, 2_000, start + 1_000 * second), 512);
    }

    #[test]
    fn frequent_calls_do_not_stop_the_refill() {
        let ((budget, _), start) = (budget(), Instant::now());
        admitted(&budget, 2_000, start);
        let micros = (0..1_000_000).step_by(5).map(Duration::from_micros);
        let lines = micros.map(|passed| admitted(&budget, 1, start + passed));
        assert_eq!(lines.sum::<usize>(), 63);
    }

    #[test]
    fn events_without_a_line_are_counted_by_kind() {
        let ((budget, metrics), start) = (budget(), Instant::now());
        admitted(&budget, 600, start);
        let text = String::from_utf8(metrics.render().unwrap()).unwrap();
        for line in ["{line=\"request\"} 88", "{line=\"audit\"} 0"] {
            assert!(text.contains(line), "{line}: {text}");
        }
        assert!(budget.state().requests > 0);
        budget.report(start);
        assert!(budget.state().requests == 0, "reported");
        budget.admits(LineKind::Request, 1 << 20, start);
        budget.report(start + PERIOD / 2);
        assert!(budget.state().requests > 0, "once per period");
        budget.report(start + PERIOD);
        assert!(budget.state().requests == 0);
    }
}
