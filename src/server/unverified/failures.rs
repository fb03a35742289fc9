//! Failed authentications by source: the first one of a source gets its own line, the others are counted per source and period.
//!
//! # Invariants
//! - The memory is bounded for any number of sources: a new source evicts the oldest one.
//! - Every failure is counted. The failures of evicted sources count as `other`.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::connections::Source;
use crate::sync::poisoned;

/// The time that one aggregate line covers.
const PERIOD: Duration = Duration::from_secs(10);

/// The maximum number of sources that are counted individually: more than an operator reads, and less than 1 MiB.
const MAX_SOURCES: usize = 4_096;

/// The failures without a line so far; clones share them.
#[derive(Clone, Default)]
pub(in crate::server) struct Failures(Arc<Mutex<Table>>);

#[derive(Default)]
struct Table {
    counts: HashMap<Source, u64>,
    /// Each source of the table with the start of its period, the oldest first.
    periods: VecDeque<(Source, Instant)>,
    other: u64,
    /// When the last line for `other` was due.
    other_since: Option<Instant>,
}

/// The line that records a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum FailureLine {
    /// The failure gets its own line, now.
    Own,
    /// A later aggregate line counts the failure.
    Aggregate,
}

/// The aggregate lines that are due.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Due {
    pub sources: Vec<(Source, u64)>,
    /// The number of failures of evicted sources.
    pub other: u64,
    pub is_other_due: bool,
}

impl Failures {
    /// Counts a failure of this source. The first failure of a source gets its own line if `can_have_line` returns true.
    pub(super) fn note(
        &self,
        source: &Source,
        now: Instant,
        can_have_line: impl FnOnce() -> bool,
    ) -> FailureLine {
        let mut table = self.table();
        if let Some(count) = table.counts.get_mut(source) {
            *count += 1;
            return FailureLine::Aggregate;
        }
        if table.periods.len() >= MAX_SOURCES {
            table.evict();
        }
        let has_line = can_have_line();
        table.insert(source.clone(), u64::from(!has_line), now);
        match has_line {
            true => FailureLine::Own,
            false => FailureLine::Aggregate,
        }
    }

    /// Removes and returns the counts whose period is over. A source without a failure in its period leaves the table.
    pub(super) fn take_due(&self, now: Instant) -> Due {
        let mut table = self.table();
        let mut sources = Vec::new();
        while let Some((source, count)) = table.take_oldest(|since| is_over(since, now)) {
            if count > 0 {
                table.insert(source.clone(), 0, now);
                sources.push((source, count));
            }
        }
        let is_other_due = table.other_since.is_none_or(|since| is_over(since, now));
        if is_other_due {
            table.other_since = Some(now);
        }
        Due {
            sources,
            other: std::mem::take(&mut table.other),
            is_other_due,
        }
    }

    /// Removes and returns all counts.
    pub(super) fn take_all(&self) -> Due {
        let mut table = self.table();
        let all = std::iter::from_fn(|| table.take_oldest(|_| true));
        let sources = all.filter(|(_, count)| *count > 0).collect();
        Due {
            sources,
            other: std::mem::take(&mut table.other),
            is_other_due: true,
        }
    }

    /// Returns failures to the table; a later line counts them as `other`.
    pub(super) fn put_back(&self, other: u64) {
        self.table().other += other;
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(poisoned)
    }
}

impl Table {
    fn insert(&mut self, source: Source, count: u64, now: Instant) {
        self.counts.insert(source.clone(), count);
        self.periods.push_back((source, now));
    }

    fn evict(&mut self) {
        if let Some((_, count)) = self.take_oldest(|_| true) {
            self.other += count;
        }
    }

    /// Removes and returns the oldest source if `is_due` returns true for the start of its period.
    fn take_oldest(&mut self, is_due: impl Fn(Instant) -> bool) -> Option<(Source, u64)> {
        let (_, since) = self.periods.front()?;
        let (source, _) = is_due(*since).then(|| self.periods.pop_front())??;
        let count = self.counts.remove(&source)?;
        Some((source, count))
    }
}

fn is_over(since: Instant, now: Instant) -> bool {
    now.saturating_duration_since(since) >= PERIOD
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    fn source(n: u32) -> Source {
        Source::from(IpAddr::from(n.to_be_bytes()))
    }

    fn due(sources: &[(u32, u64)], other: u64) -> Due {
        Due {
            sources: sources
                .iter()
                .map(|(n, count)| (source(*n), *count))
                .collect(),
            other,
            is_other_due: true,
        }
    }

    #[test]
    fn the_first_failure_has_a_line_and_the_others_are_counted_per_period() {
        let (failures, start) = (Failures::default(), Instant::now());
        let note = |n, now| failures.note(&source(n), now, || true);
        assert_eq!(note(1, start), FailureLine::Own);
        assert_eq!(note(1, start), FailureLine::Aggregate);
        assert_eq!(note(2, start + PERIOD / 2), FailureLine::Own);
        assert_eq!(note(1, start + PERIOD / 2), FailureLine::Aggregate);
        assert_eq!(failures.take_due(start + PERIOD), due(&[(1, 2)], 0));
        assert_eq!(
            note(1, start + PERIOD),
            FailureLine::Aggregate,
            "the next period"
        );
        assert_eq!(failures.take_due(start + PERIOD * 2), due(&[(1, 1)], 0));
        assert_eq!(failures.take_due(start + PERIOD * 3), due(&[], 0));
        assert!(failures.table().counts.is_empty() && failures.table().periods.is_empty());
        assert_eq!(
            note(1, start + PERIOD * 3),
            FailureLine::Own,
            "after a period without failures"
        );
    }

    #[test]
    fn every_failure_of_many_sources_is_recorded() {
        let (failures, start) = (Failures::default(), Instant::now());
        let (mut own_lines, mut counted, mut other) = (0, 0, 0);
        for n in 0..20_000 {
            // Each source has three failures. The line budget has no bytes for the last sources.
            for _ in 0..3 {
                let line = failures.note(&source(n), start, || n < 15_000);
                own_lines += u64::from(line == FailureLine::Own);
            }
            assert!(failures.table().periods.len() <= MAX_SOURCES);
        }
        for due in [failures.take_due(start + PERIOD), failures.take_all()] {
            counted += due.sources.iter().map(|(_, count)| count).sum::<u64>();
            other += due.other;
        }
        assert_eq!((own_lines, own_lines + counted + other), (15_000, 60_000));
        assert!(counted >= 2 * 4_096 && other > 0);
    }

    #[test]
    fn failures_of_evicted_sources_have_one_line_per_period() {
        let (failures, start) = (Failures::default(), Instant::now());
        assert!(failures.take_due(start).is_other_due);
        failures.put_back(7);
        let early = failures.take_due(start + PERIOD / 2);
        assert_eq!((early.other, early.is_other_due), (7, false));
        failures.put_back(early.other);
        assert_eq!(failures.take_due(start + PERIOD), due(&[], 7));
    }
}
