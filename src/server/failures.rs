//! How many failed authentications of one source are told: one per period, with the number of those left out.
//!
//! # Invariants
//! - The memory is bounded, however many sources there are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::connections::Source;
use crate::sync::poisoned;

/// How often a source is told of.
const PERIOD: Duration = Duration::from_secs(10);

/// So many sources are remembered; those beyond share one place.
const MAX_SOURCES: usize = 4_096;

/// The sources that have failed of late; clones share them.
#[derive(Clone, Default)]
pub(super) struct Failures(Arc<Mutex<HashMap<Option<Source>, Told>>>);

struct Told {
    told: Instant,
    left_out: u64,
}

impl Failures {
    /// Whether a failure of this source is to be told now, and how many were not since the one before.
    pub(super) fn tell(&self, source: Option<Source>, now: Instant) -> Option<u64> {
        let mut sources = self.0.lock().unwrap_or_else(poisoned);
        let is_new = !sources.contains_key(&source);
        if is_new && sources.len() >= MAX_SOURCES {
            sources.retain(|_, source| is_fresh(source, now) || source.left_out > 0);
        }
        let is_crowded = is_new && sources.len() >= MAX_SOURCES;
        let place = if is_crowded { None } else { source };
        let Some(known) = sources.get_mut(&place) else {
            let told = now;
            sources.insert(place, Told { told, left_out: 0 });
            return Some(0);
        };
        if is_fresh(known, now) {
            known.left_out += 1;
            return None;
        }
        known.told = now;
        Some(std::mem::take(&mut known.left_out))
    }
}

fn is_fresh(source: &Told, now: Instant) -> bool {
    now.saturating_duration_since(source.told) < PERIOD
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    fn source(n: u32) -> Option<Source> {
        Some(Source::from(IpAddr::from(n.to_be_bytes())))
    }

    #[test]
    fn one_failure_per_source_and_period_is_told() {
        let (failures, start) = (Failures::default(), Instant::now());
        assert_eq!(failures.tell(source(1), start), Some(0));
        assert_eq!(failures.tell(source(1), start), None);
        assert_eq!(failures.tell(source(2), start), Some(0), "another source");
        assert_eq!(failures.tell(source(1), start + PERIOD / 2), None);
        assert_eq!(failures.tell(source(1), start + PERIOD), Some(2));
        assert_eq!(failures.tell(source(1), start + PERIOD * 2), Some(0));
    }

    #[test]
    fn a_million_sources_share_a_bounded_memory() {
        let (failures, start) = (Failures::default(), Instant::now());
        let told = (0..20_000).filter(|n| failures.tell(source(*n), start).is_some());
        assert_eq!(told.count(), MAX_SOURCES + 1);
        assert!(failures.0.lock().unwrap().len() <= MAX_SOURCES + 1);
        // Who has nothing left to say is forgotten.
        assert_eq!(failures.tell(source(30_000), start + PERIOD), Some(0));
        assert!(failures.0.lock().unwrap().len() < 10);
    }
}
