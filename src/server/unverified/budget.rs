//! How many bytes requests may hold until their signature is verified: heads, bodies as far as they are announced or have come, and what the
//! proxy needs beside them.
//!
//! Connections that have carried a verified request have a budget of their own, so that no other client can use it up. On all other connections
//! a source may hold as many bytes as it leaves free: one alone has at most half of the budget, 200 that flood leave 1/201 of it, at the default
//! limits 40 KiB, which is enough for a request of KMS's. Nobody has to be told how many sources there are. A known or shared source may hold
//! whatever is free: behind a load balancer all of KMS comes from a few addresses.
//!
//! # Invariants
//! - No more than the two budgets is held, whatever is sent from wherever.
//! - What is held is given back when its [`Held`] is dropped, also when the client disconnects.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use prometheus::{IntCounter, IntGauge};

use super::metrics::StrangerMetrics;
use crate::connections::Source;
use crate::sync::poisoned;

/// What one request needs beside its head and its body: its task and its HTTP/2 stream, in bytes; rounded up.
const OVERHEAD: usize = 4 * 1024;

/// On verified connections, in bytes: as many bodies of the default `max_body` as there are requests in flight by default.
const VERIFIED: usize = 32 * 1024 * 1024;

/// On all other connections together, in bytes: a quarter of that. A first request of KMS needs about 10 KiB for a few milliseconds.
const UNVERIFIED: usize = 8 * 1024 * 1024;

/// The longest head that the server reads, in bytes.
const LONGEST_HEAD: usize = 64 * 1024;

/// So many bodies of the longest length fit at least, whatever `max_body` is.
const LONGEST_BODIES: usize = 4;

/// How well clients are known, as the metrics call it.
const STANDINGS: [&str; 3] = ["verified", "known", "unknown"];

/// Both budgets. Clones share them.
#[derive(Clone)]
pub(in crate::server) struct Budget(Arc<Inner>);

struct Inner {
    unverified: Mutex<Unverified>,
    /// By [`STANDINGS`]; of verified connections, it is the budget itself.
    held: [IntGauge; 3],
    requests: [IntGauge; 3],
    refused: [IntCounter; 3],
}

/// What is held on connections that have not carried a verified request.
#[derive(Default)]
struct Unverified {
    held: usize,
    /// Of strangers by source; only those that hold something.
    by_source: HashMap<Source, usize>,
}

/// Against which budget a request counts.
#[derive(Clone, Debug)]
pub(in crate::server) enum Owner {
    /// A connection that has carried a verified request.
    Verified,
    /// Another one, from a source that is known or shared.
    Known,
    /// Any other.
    Stranger(Source),
}

/// Bytes that a request holds; given back when this is dropped.
pub(in crate::server) struct Held {
    budget: Budget,
    owner: Owner,
    bytes: usize,
    max_body: usize,
}

impl Budget {
    pub(in crate::server) fn new(metrics: &StrangerMetrics) -> Self {
        Self(Arc::new(Inner {
            unverified: Mutex::default(),
            held: STANDINGS.map(|client| metrics.held.with_label_values(&[client])),
            requests: STANDINGS.map(|client| metrics.requests.with_label_values(&[client])),
            refused: STANDINGS.map(|client| metrics.refused.with_label_values(&[client])),
        }))
    }

    /// Room for a request with a head of so many bytes, whose body may have `max_body`; none when the budget is used up.
    pub(in crate::server) fn hold(
        &self,
        owner: Owner,
        head: usize,
        max_body: usize,
    ) -> Option<Held> {
        let mut held = Held {
            budget: self.clone(),
            owner,
            bytes: 0,
            max_body,
        };
        held.metric(&self.0.requests).inc();
        held.grow(head.saturating_add(OVERHEAD)).then_some(held)
    }

    fn unverified(&self) -> MutexGuard<'_, Unverified> {
        let unverified = self.0.unverified.lock();
        unverified.unwrap_or_else(poisoned)
    }
}

impl Unverified {
    /// Takes bytes for a source; none: for one that counts against the whole only. Returns whether there was room.
    fn take(&mut self, source: Option<&Source>, bytes: usize, limit: usize) -> bool {
        let left = limit.saturating_sub(self.held).checked_sub(bytes);
        let Some(source) = source else {
            self.held += left.map_or(0, |_| bytes);
            return left.is_some();
        };
        let own = self.by_source.get(source).copied().unwrap_or(0) + bytes;
        let has_room = left.is_some_and(|left| own <= left);
        if has_room {
            self.held += bytes;
            self.by_source.insert(source.clone(), own);
        }
        has_room
    }

    fn give_back(&mut self, source: Option<&Source>, bytes: usize) {
        self.held = self.held.saturating_sub(bytes);
        let Some(source) = source else {
            return;
        };
        let own = self.by_source.get(source).copied().unwrap_or(0);
        match own.saturating_sub(bytes) {
            0 => drop(self.by_source.remove(source)),
            left => drop(self.by_source.insert(source.clone(), left)),
        }
    }
}

impl Held {
    /// Takes so many bytes more; returns whether there was room for them. If not, the refusal is counted.
    #[must_use = "without room nothing may be kept"]
    pub(in crate::server) fn grow(&mut self, more: usize) -> bool {
        let gauge = self.metric(&self.budget.0.held);
        gauge.add(signed(more));
        let has_room = match &self.owner {
            Owner::Verified => gauge.get() <= signed(VERIFIED.max(self.longest_bodies())),
            Owner::Known | Owner::Stranger(_) => {
                let limit = UNVERIFIED.max(self.longest_bodies());
                self.budget.unverified().take(self.source(), more, limit)
            }
        };
        match has_room {
            true => self.bytes += more,
            false => {
                gauge.sub(signed(more));
                self.metric(&self.budget.0.refused).inc();
            }
        }
        has_room
    }

    #[cfg(test)]
    pub(in crate::server) fn bytes(&self) -> usize {
        self.bytes
    }

    fn source(&self) -> Option<&Source> {
        match &self.owner {
            Owner::Verified | Owner::Known => None,
            Owner::Stranger(source) => Some(source),
        }
    }

    /// The metric of the client's standing.
    fn metric<'a, T>(&self, [verified, known, unknown]: &'a [T; 3]) -> &'a T {
        match self.owner {
            Owner::Verified => verified,
            Owner::Known => known,
            Owner::Stranger(_) => unknown,
        }
    }

    /// What the budget must be for one source to have so many of the longest bodies: half of it is that source's.
    fn longest_bodies(&self) -> usize {
        let request = self.max_body.saturating_add(LONGEST_HEAD + OVERHEAD);
        request.saturating_mul(2 * LONGEST_BODIES)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.metric(&self.budget.0.requests).dec();
        self.metric(&self.budget.0.held).sub(signed(self.bytes));
        if !matches!(self.owner, Owner::Verified) {
            let mut unverified = self.budget.unverified();
            unverified.give_back(self.source(), self.bytes);
        }
    }
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;
    use std::net::IpAddr;

    const MAX_BODY: usize = 64 * 1024;

    fn budget() -> Budget {
        Budget::new(&StrangerMetrics::declare(&Metrics::default()).unwrap())
    }

    fn stranger(n: u32) -> Owner {
        Owner::Stranger(Source::from(IpAddr::from(n.to_be_bytes())))
    }

    /// A request with a body of this length.
    fn request(budget: &Budget, owner: Owner, body: usize) -> Option<Held> {
        let mut held = budget.hold(owner, 500, MAX_BODY)?;
        held.grow(body).then_some(held)
    }

    /// As many of the longest requests as there is room for, from each of these sources in turn.
    fn flood(budget: &Budget, sources: u32) -> Vec<Held> {
        let mut held = Vec::new();
        loop {
            let before = held.len();
            held.extend((0..sources).filter_map(|n| request(budget, stranger(n), MAX_BODY)));
            if held.len() == before {
                return held;
            }
        }
    }

    fn held_by_all(budget: &Budget) -> i64 {
        budget.0.held.iter().map(IntGauge::get).sum()
    }

    #[test]
    fn strangers_never_hold_more_than_their_budget_and_leave_room_for_a_newcomer() {
        for sources in [1, 2, 8, 100, 200] {
            let budget = budget();
            let held = flood(&budget, sources);
            assert!(budget.unverified().held <= UNVERIFIED);
            let newcomer = request(&budget, stranger(1_000), 8 * 1024);
            assert!(newcomer.is_some(), "beside {sources} sources");
            drop((held, newcomer));
            assert_eq!(budget.unverified().held, 0);
            assert!(budget.unverified().by_source.is_empty());
            assert_eq!(held_by_all(&budget), 0);
            assert!(budget.0.requests.iter().all(|requests| requests.get() == 0));
        }
    }

    #[test]
    fn one_source_has_half_of_what_strangers_have() {
        let budget = budget();
        let held: usize = flood(&budget, 1).iter().map(|held| held.bytes).sum();
        assert!((UNVERIFIED / 2 - 2 * MAX_BODY..=UNVERIFIED / 2).contains(&held));
        assert_eq!(budget.0.refused.each_ref().map(IntCounter::get), [0, 0, 1]);
    }

    #[test]
    fn a_known_source_may_hold_all_that_strangers_leave_free() {
        let budget = budget();
        let strangers = flood(&budget, 1);
        let known: Vec<_> =
            std::iter::from_fn(|| request(&budget, Owner::Known, MAX_BODY)).collect();
        let held = budget.unverified().held;
        assert!(
            (UNVERIFIED - 2 * MAX_BODY..=UNVERIFIED).contains(&held),
            "{held}"
        );
        assert!(known.len() > 50, "{}", known.len());
        drop((strangers, known));
        assert_eq!((budget.unverified().held, held_by_all(&budget)), (0, 0));
    }

    #[test]
    fn nobody_takes_anything_from_verified_connections() {
        let budget = budget();
        let others = (
            flood(&budget, 200),
            std::iter::from_fn(|| request(&budget, Owner::Known, 0)).collect::<Vec<_>>(),
        );
        let verified = std::iter::from_fn(|| request(&budget, Owner::Verified, MAX_BODY));
        let verified: Vec<_> = verified.collect();
        let held: usize = verified.iter().map(|held| held.bytes).sum();
        assert!(
            (VERIFIED - 2 * MAX_BODY..=VERIFIED).contains(&held),
            "{held}"
        );
        drop((verified, others));
        assert_eq!(held_by_all(&budget), 0);
    }

    #[test]
    fn what_is_refused_holds_nothing() {
        let budget = budget();
        let mut held = budget.hold(stranger(1), 500, MAX_BODY).unwrap();
        assert!(!held.grow(UNVERIFIED));
        assert_eq!(budget.unverified().held, 500 + OVERHEAD);
        drop(held);
        assert_eq!((budget.unverified().held, held_by_all(&budget)), (0, 0));
    }

    #[test]
    fn the_longest_bodies_fit_whatever_their_length_is() {
        let budget = budget();
        let longest = 16 << 20;
        for owner in [Owner::Verified, stranger(1)] {
            let held: Vec<_> = (0..LONGEST_BODIES)
                .map(|_| {
                    let mut held = budget.hold(owner.clone(), 500, longest)?;
                    held.grow(longest).then_some(held)
                })
                .collect();
            assert!(held.iter().all(Option::is_some), "{owner:?}");
        }
    }
}
