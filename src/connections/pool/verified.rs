//! The verified connections, and which of them has been idle for the longest time.
//!
//! A request must not lock the pool, so each connection keeps its own time of last use, and the order of this set may be outdated. It is corrected from
//! its oldest entry on when a connection has to be displaced. The cost is bounded: each correction corresponds to a request since the previous one.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use super::id::Id;

#[derive(Default)]
pub(super) struct Verified {
    /// The time at which each connection was checked last. It has not been idle for longer than since this time.
    checked_at: HashMap<Id, Instant>,
    order: BTreeSet<(Instant, Id)>,
}

impl Verified {
    pub(super) fn count(&self) -> usize {
        self.checked_at.len()
    }

    pub(super) fn contains(&self, id: Id) -> bool {
        self.checked_at.contains_key(&id)
    }

    pub(super) fn insert(&mut self, id: Id, at: Instant) {
        self.remove(id);
        self.checked_at.insert(id, at);
        self.order.insert((at, id));
    }

    pub(super) fn remove(&mut self, id: Id) {
        if let Some(at) = self.checked_at.remove(&id) {
            self.order.remove(&(at, id));
        }
    }

    /// Returns the connection that has been idle for the longest time; `None` when each has a request in progress. `idle_since` returns the time since
    /// which a connection is idle, or `None` while it has a request.
    pub(super) fn longest_idle(
        &mut self,
        idle_since: impl Fn(Id) -> Option<Instant>,
        now: Instant,
    ) -> Option<Id> {
        loop {
            let (checked_at, id) = self.order.first().copied()?;
            match idle_since(id) {
                Some(since) if since <= checked_at => return Some(id),
                // This call has already checked the first connection, which has a request. So all of them have one.
                _ if checked_at >= now => return None,
                since => self.insert(id, since.map_or(now, |since| since.min(now))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_longest_idle_connection_is_found_although_the_order_is_outdated() {
        let (mut verified, start) = (Verified::default(), Instant::now());
        let at = |n: u64| start + Duration::from_secs(n);
        for id in 0..4 {
            verified.insert(id, at(id));
        }
        // Connection 0 was used recently, 1 has a request, 2 and 3 are idle since they were inserted.
        let idle_since = |id: Id| match id {
            0 => Some(at(8)),
            1 => None,
            id => Some(at(id)),
        };
        for (now, expected) in [(9, Some(2)), (10, Some(3)), (11, Some(0)), (12, None)] {
            let found = verified.longest_idle(idle_since, at(now));
            assert_eq!(found, expected);
            found.into_iter().for_each(|id| verified.remove(id));
        }
        assert_eq!(verified.count(), 1, "the connection with a request");
    }
}
