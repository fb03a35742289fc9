//! The sources with a verified request in the last ten minutes.
//!
//! # Invariants
//! - Only a verified request adds a source, so unverified clients cannot evict one. The memory is bounded.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use crate::connections::Source;

/// The time for which a verified request makes its source known. KMS renews its connections to a store in use far more often.
pub(super) const KNOWN_FOR: Duration = Duration::from_secs(600);

/// The maximum number of known sources. At the limit, the source with the oldest verified request is removed. KMS calls from far fewer addresses.
pub(super) const MAX_SOURCES: usize = 4_096;

#[derive(Default)]
pub(super) struct Known {
    verified_at: HashMap<Source, Instant>,
    by_time: BTreeSet<(Instant, Source)>,
}

impl Known {
    /// Records a verified request of `source`.
    pub(super) fn note(&mut self, source: &Source, now: Instant) {
        if let Some(before) = self.verified_at.insert(source.clone(), now) {
            self.by_time.remove(&(before, source.clone()));
        }
        self.by_time.insert((now, source.clone()));
        if self.verified_at.len() > MAX_SOURCES
            && let Some((_, oldest)) = self.by_time.pop_first()
        {
            self.verified_at.remove(&oldest);
        }
    }

    /// Returns whether `source` has sent a verified request within [`KNOWN_FOR`].
    pub(super) fn contains(&self, source: &Source, now: Instant) -> bool {
        let verified_at = self.verified_at.get(source);
        verified_at.is_some_and(|at| now.saturating_duration_since(*at) < KNOWN_FOR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    fn source(n: u32) -> Source {
        Source::from(IpAddr::from(n.to_be_bytes()))
    }

    #[test]
    fn a_source_is_known_for_ten_minutes_after_its_last_verified_request() {
        let (mut known, start) = (Known::default(), Instant::now());
        known.note(&source(1), start);
        known.note(&source(1), start + KNOWN_FOR / 2);
        assert!(known.contains(&source(1), start + KNOWN_FOR));
        assert!(!known.contains(&source(1), start + KNOWN_FOR / 2 * 3));
        assert!(!known.contains(&source(2), start));
    }

    #[test]
    fn the_memory_is_bounded_and_the_oldest_source_is_removed() {
        let (mut known, start) = (Known::default(), Instant::now());
        let at = |n: u32| start + Duration::from_millis(n.into());
        for n in 0..5_000 {
            known.note(&source(n), at(n));
            known.note(&source(4_999), at(n));
        }
        assert_eq!(known.verified_at.len(), MAX_SOURCES);
        assert_eq!(known.by_time.len(), MAX_SOURCES);
        assert!(!known.contains(&source(0), at(5_000)));
        assert!(known.contains(&source(4_998), at(5_000)));
        assert!(known.contains(&source(4_999), at(5_000)));
    }
}
