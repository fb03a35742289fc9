//! Failed authentications by source: the first of a source is recorded at once, those that follow as a number per source and period.
//!
//! # Invariants
//! - The memory is bounded, however many sources there are: the oldest source makes room for a new one.
//! - No failure is left out of the numbers: those of a source that made room count as `other`.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::connections::Source;
use crate::sync::poisoned;

/// The time that one aggregate line of a source stands for.
const PERIOD: Duration = Duration::from_secs(10);

/// So many sources are counted one by one: more than an operator reads, and less than 1 MiB.
const MAX_SOURCES: usize = 4_096;

/// The failures that have no line yet; clones share them.
#[derive(Clone, Default)]
pub(in crate::server) struct Failures(Arc<Mutex<Table>>);

#[derive(Default)]
struct Table {
    counts: HashMap<Source, u64>,
    /// Every source of the table once, with the moment when its period began: the oldest first.
    periods: VecDeque<(Source, Instant)>,
    other: u64,
    /// When the last line for others was due.
    other_since: Option<Instant>,
}

/// How a failure is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Told {
    /// By a line of its own, now.
    AtOnce,
    /// By the number in a later line.
    Later,
}

/// What aggregate lines are to be written.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Due {
    pub sources: Vec<(Source, u64)>,
    /// Failures of sources that the table has evicted.
    pub other: u64,
    pub is_other_due: bool,
}

impl Failures {
    /// Counts a failure of this source. One of a source that is not in the table has a line of its own, if it `can_be_told`.
    pub(super) fn note(
        &self,
        source: &Source,
        now: Instant,
        can_be_told: impl FnOnce() -> bool,
    ) -> Told {
        let mut table = self.table();
        if let Some(count) = table.counts.get_mut(source) {
            *count += 1;
            return Told::Later;
        }
        if table.periods.len() >= MAX_SOURCES {
            table.evict();
        }
        let told = can_be_told();
        table.insert(source.clone(), u64::from(!told), now);
        match told {
            true => Told::AtOnce,
            false => Told::Later,
        }
    }

    /// Takes the numbers whose period is over. A source without a failure in its period leaves the table.
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

    /// Takes all numbers.
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

    /// Gives failures back that are told as `other`, later.
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

    fn take_oldest(&mut self, is_wanted: impl Fn(Instant) -> bool) -> Option<(Source, u64)> {
        let (_, since) = self.periods.front()?;
        let (source, _) = is_wanted(*since).then(|| self.periods.pop_front())??;
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
    fn the_first_is_told_at_once_and_the_rest_as_a_number_per_period() {
        let (failures, start) = (Failures::default(), Instant::now());
        let note = |n, now| failures.note(&source(n), now, || true);
        assert_eq!(note(1, start), Told::AtOnce);
        assert_eq!(note(1, start), Told::Later);
        assert_eq!(note(2, start + PERIOD / 2), Told::AtOnce);
        assert_eq!(note(1, start + PERIOD / 2), Told::Later);
        assert_eq!(failures.take_due(start + PERIOD), due(&[(1, 2)], 0));
        assert_eq!(note(1, start + PERIOD), Told::Later, "the next period");
        assert_eq!(failures.take_due(start + PERIOD * 2), due(&[(1, 1)], 0));
        assert_eq!(failures.take_due(start + PERIOD * 3), due(&[], 0));
        assert!(failures.table().counts.is_empty() && failures.table().periods.is_empty());
        assert_eq!(
            note(1, start + PERIOD * 3),
            Told::AtOnce,
            "quiet for a period"
        );
    }

    #[test]
    fn no_failure_of_any_number_of_sources_is_left_out() {
        let (failures, start) = (Failures::default(), Instant::now());
        let (mut told, mut counted, mut other) = (0, 0, 0);
        for n in 0..20_000 {
            // Three of each source; the last sources find no bytes for a line of their own.
            for _ in 0..3 {
                let at_once = failures.note(&source(n), start, || n < 15_000);
                told += u64::from(at_once == Told::AtOnce);
            }
            assert!(failures.table().periods.len() <= MAX_SOURCES);
        }
        for due in [failures.take_due(start + PERIOD), failures.take_all()] {
            counted += due.sources.iter().map(|(_, count)| count).sum::<u64>();
            other += due.other;
        }
        assert_eq!((told, told + counted + other), (15_000, 60_000));
        assert!(counted >= 2 * 4_096 && other > 0);
    }

    #[test]
    fn others_are_told_once_per_period() {
        let (failures, start) = (Failures::default(), Instant::now());
        assert!(failures.take_due(start).is_other_due);
        failures.put_back(7);
        let early = failures.take_due(start + PERIOD / 2);
        assert_eq!((early.other, early.is_other_due), (7, false));
        failures.put_back(early.other);
        assert_eq!(failures.take_due(start + PERIOD), due(&[], 7));
    }
}
