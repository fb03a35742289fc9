//! Verified connections, and which of them has been idle for the longest time.
//!
//! A request must not take the pool's lock, so a connection keeps its own time of last use and the order here is of an earlier look. It is put
//! right from its old end only, when a connection has to go: each correction is paid by a request since the look before.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use super::id::Id;

#[derive(Default)]
pub(super) struct Verified {
    /// The connection has been idle since then or less long.
    looked_at: HashMap<Id, Instant>,
    order: BTreeSet<(Instant, Id)>,
}

impl Verified {
    pub(super) fn count(&self) -> usize {
        self.looked_at.len()
    }

    pub(super) fn contains(&self, id: Id) -> bool {
        self.looked_at.contains_key(&id)
    }

    pub(super) fn insert(&mut self, id: Id, at: Instant) {
        self.remove(id);
        self.looked_at.insert(id, at);
        self.order.insert((at, id));
    }

    pub(super) fn remove(&mut self, id: Id) {
        if let Some(at) = self.looked_at.remove(&id) {
            self.order.remove(&(at, id));
        }
    }

    /// The connection that has been idle for the longest time; `None` when each has a request in progress. `idle_since` is the connection's own
    /// time, or `None` while it has a request.
    pub(super) fn longest_idle(
        &mut self,
        idle_since: impl Fn(Id) -> Option<Instant>,
        now: Instant,
    ) -> Option<Id> {
        loop {
            let (looked_at, id) = self.order.first().copied()?;
            match idle_since(id) {
                Some(since) if since <= looked_at => return Some(id),
                // This call has already looked at the first one, and it has a request.
                _ if looked_at >= now => return None,
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
    fn the_longest_idle_one_is_found_whatever_the_order_was_before() {
        let (mut verified, start) = (Verified::default(), Instant::now());
        let at = |n: u64| start + Duration::from_secs(n);
        for id in 0..4 {
            verified.insert(id, at(id));
        }
        // 0 was used lately, 1 has a request, 2 and 3 are as they were.
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
        assert_eq!(verified.count(), 1, "the one that has a request");
    }
}
