//! The memory that requests may hold until their signature is verified: heads, bodies as far as they are announced or have arrived, and overhead.
//!
//! Connections that have carried a verified request have a separate budget, which no other client can use up. On all other connections, a source may
//! hold as many bytes as it leaves free. So a single source has at most half of the budget. 200 sources that flood the proxy leave 1/201 of it free:
//! 40 KiB at the default limits, which is enough for a request of KMS. The rule needs no configured number of sources. A known or shared source may
//! hold all free bytes, because behind a load balancer all requests of KMS come from a few addresses.
//!
//! # Invariants
//! - Requests never hold more than the two budgets.
//! - The bytes are released when the [`HeldBytes`] is dropped, also when the client disconnects.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use prometheus::{IntCounter, IntGauge};

use super::metrics::UnverifiedMetrics;
use crate::connections::Source;
use crate::sync::poisoned;

/// The memory that one request needs in addition to head and body, for its task and its HTTP/2 stream, in bytes; rounded up.
const OVERHEAD: usize = 4 * 1024;

/// The budget of verified connections in bytes: the default `max_body` times the default `max_in_flight`.
const VERIFIED: usize = 32 * 1024 * 1024;

/// The budget of all other connections together in bytes: a quarter of [`VERIFIED`]. A first request of KMS needs about 10 KiB for a few milliseconds.
const UNVERIFIED: usize = 8 * 1024 * 1024;

/// The longest head that the server reads, in bytes.
const LONGEST_HEAD: usize = 64 * 1024;

/// The number of bodies of the length `max_body` that always fit into a budget.
const LONGEST_BODIES: usize = 4;

/// The values of the metric label `client`.
const CLASSES: [&str; 3] = ["verified", "known", "unknown"];

/// Both budgets. Clones share them.
#[derive(Clone)]
pub(in crate::server) struct Budget(Arc<Inner>);

struct Inner {
    unverified: Mutex<Unverified>,
    /// By [`CLASSES`]. The gauge of verified connections is also their budget's state.
    held: [IntGauge; 3],
    requests: [IntGauge; 3],
    refused: [IntCounter; 3],
}

/// The bytes that are held on connections that have not carried a verified request.
#[derive(Default)]
struct Unverified {
    held: usize,
    /// The bytes of each unknown source that holds any.
    by_source: HashMap<Source, usize>,
}

/// The class of a client. It selects the budget against which its requests count.
#[derive(Clone, Debug)]
pub(in crate::server) enum ClientClass {
    /// The connection has carried a verified request.
    Verified,
    /// The connection has not, but its source is known or shared.
    Known,
    /// The connection has not, and its source is neither known nor shared.
    Unknown(Source),
}

/// The bytes that a request holds; released when this is dropped.
pub(in crate::server) struct HeldBytes {
    budget: Budget,
    class: ClientClass,
    bytes: usize,
    max_body: usize,
}

impl Budget {
    pub(in crate::server) fn new(metrics: &UnverifiedMetrics) -> Self {
        Self(Arc::new(Inner {
            unverified: Mutex::default(),
            held: CLASSES.map(|client| metrics.held.with_label_values(&[client])),
            requests: CLASSES.map(|client| metrics.requests.with_label_values(&[client])),
            refused: CLASSES.map(|client| metrics.refused.with_label_values(&[client])),
        }))
    }

    /// Reserves bytes of the budget for a request with a head of `head` bytes and a body of at most `max_body` bytes. `None` when the budget is used up.
    pub(in crate::server) fn hold(
        &self,
        class: ClientClass,
        head: usize,
        max_body: usize,
    ) -> Option<HeldBytes> {
        let mut held = HeldBytes {
            budget: self.clone(),
            class,
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
    /// Reserves `bytes` for a source and returns true if enough are free. Without a source, only the total limit applies.
    fn take(&mut self, source: Option<&Source>, bytes: usize, limit: usize) -> bool {
        let left = limit.saturating_sub(self.held).checked_sub(bytes);
        let Some(source) = source else {
            self.held += left.map_or(0, |_| bytes);
            return left.is_some();
        };
        let source_bytes = self.by_source.get(source).copied().unwrap_or(0) + bytes;
        let fits = left.is_some_and(|left| source_bytes <= left);
        if fits {
            self.held += bytes;
            self.by_source.insert(source.clone(), source_bytes);
        }
        fits
    }

    fn release(&mut self, source: Option<&Source>, bytes: usize) {
        self.held = self.held.saturating_sub(bytes);
        let Some(source) = source else {
            return;
        };
        let source_bytes = self.by_source.get(source).copied().unwrap_or(0);
        match source_bytes.saturating_sub(bytes) {
            0 => drop(self.by_source.remove(source)),
            left => drop(self.by_source.insert(source.clone(), left)),
        }
    }
}

impl HeldBytes {
    /// Reserves `more` bytes and returns true if the budget allows. Otherwise counts the rejection.
    #[must_use = "bytes that do not fit must not be kept"]
    pub(in crate::server) fn grow(&mut self, more: usize) -> bool {
        let gauge = self.metric(&self.budget.0.held);
        gauge.add(signed(more));
        let fits = match &self.class {
            ClientClass::Verified => gauge.get() <= signed(VERIFIED.max(self.longest_bodies())),
            ClientClass::Known | ClientClass::Unknown(_) => {
                let limit = UNVERIFIED.max(self.longest_bodies());
                self.budget.unverified().take(self.source(), more, limit)
            }
        };
        match fits {
            true => self.bytes += more,
            false => {
                gauge.sub(signed(more));
                self.metric(&self.budget.0.refused).inc();
            }
        }
        fits
    }

    #[cfg(test)]
    pub(in crate::server) fn bytes(&self) -> usize {
        self.bytes
    }

    fn source(&self) -> Option<&Source> {
        match &self.class {
            ClientClass::Verified | ClientClass::Known => None,
            ClientClass::Unknown(source) => Some(source),
        }
    }

    /// Returns the metric of the client's class.
    fn metric<'a, T>(&self, [verified, known, unknown]: &'a [T; 3]) -> &'a T {
        match self.class {
            ClientClass::Verified => verified,
            ClientClass::Known => known,
            ClientClass::Unknown(_) => unknown,
        }
    }

    /// Returns the budget in which one source can hold [`LONGEST_BODIES`] bodies of the length `max_body`. A source has at most half of the budget.
    fn longest_bodies(&self) -> usize {
        let request = self.max_body.saturating_add(LONGEST_HEAD + OVERHEAD);
        request.saturating_mul(2 * LONGEST_BODIES)
    }
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        self.metric(&self.budget.0.requests).dec();
        self.metric(&self.budget.0.held).sub(signed(self.bytes));
        if !matches!(self.class, ClientClass::Verified) {
            let mut unverified = self.budget.unverified();
            unverified.release(self.source(), self.bytes);
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
        Budget::new(&UnverifiedMetrics::declare(&Metrics::default()).unwrap())
    }

    fn unknown(n: u32) -> ClientClass {
        ClientClass::Unknown(Source::from(IpAddr::from(n.to_be_bytes())))
    }

    /// Reserves bytes for a request with a body of this length.
    fn request(budget: &Budget, class: ClientClass, body: usize) -> Option<HeldBytes> {
        let mut held = budget.hold(class, 500, MAX_BODY)?;
        held.grow(body).then_some(held)
    }

    /// Sends the longest requests from each of these sources in turn, until no request fits. Returns the bytes that they hold.
    fn flood(budget: &Budget, sources: u32) -> Vec<HeldBytes> {
        let mut held = Vec::new();
        loop {
            let before = held.len();
            held.extend((0..sources).filter_map(|n| request(budget, unknown(n), MAX_BODY)));
            if held.len() == before {
                return held;
            }
        }
    }

    fn total_held(budget: &Budget) -> i64 {
        budget.0.held.iter().map(IntGauge::get).sum()
    }

    #[test]
    fn unknown_sources_keep_within_their_budget_and_leave_bytes_for_a_new_source() {
        for sources in [1, 2, 8, 100, 200] {
            let budget = budget();
            let held = flood(&budget, sources);
            assert!(budget.unverified().held <= UNVERIFIED);
            let newcomer = request(&budget, unknown(1_000), 8 * 1024);
            assert!(newcomer.is_some(), "with {sources} other sources");
            drop((held, newcomer));
            assert_eq!(budget.unverified().held, 0);
            assert!(budget.unverified().by_source.is_empty());
            assert_eq!(total_held(&budget), 0);
            assert!(budget.0.requests.iter().all(|requests| requests.get() == 0));
        }
    }

    #[test]
    fn one_unknown_source_holds_at_most_half_of_the_budget() {
        let budget = budget();
        let held: usize = flood(&budget, 1).iter().map(|held| held.bytes).sum();
        assert!((UNVERIFIED / 2 - 2 * MAX_BODY..=UNVERIFIED / 2).contains(&held));
        assert_eq!(budget.0.refused.each_ref().map(IntCounter::get), [0, 0, 1]);
    }

    #[test]
    fn a_known_source_may_hold_all_free_bytes() {
        let budget = budget();
        let unknown = flood(&budget, 1);
        let known: Vec<_> =
            std::iter::from_fn(|| request(&budget, ClientClass::Known, MAX_BODY)).collect();
        let held = budget.unverified().held;
        assert!(
            (UNVERIFIED - 2 * MAX_BODY..=UNVERIFIED).contains(&held),
            "{held}"
        );
        assert!(known.len() > 50, "{}", known.len());
        drop((unknown, known));
        assert_eq!((budget.unverified().held, total_held(&budget)), (0, 0));
    }

    #[test]
    fn other_connections_do_not_use_up_the_budget_of_verified_ones() {
        let budget = budget();
        let others = (
            flood(&budget, 200),
            std::iter::from_fn(|| request(&budget, ClientClass::Known, 0)).collect::<Vec<_>>(),
        );
        let verified = std::iter::from_fn(|| request(&budget, ClientClass::Verified, MAX_BODY));
        let verified: Vec<_> = verified.collect();
        let held: usize = verified.iter().map(|held| held.bytes).sum();
        assert!(
            (VERIFIED - 2 * MAX_BODY..=VERIFIED).contains(&held),
            "{held}"
        );
        drop((verified, others));
        assert_eq!(total_held(&budget), 0);
    }

    #[test]
    fn a_rejected_request_holds_no_more_bytes() {
        let budget = budget();
        let mut held = budget.hold(unknown(1), 500, MAX_BODY).unwrap();
        assert!(!held.grow(UNVERIFIED));
        assert_eq!(budget.unverified().held, 500 + OVERHEAD);
        drop(held);
        assert_eq!((budget.unverified().held, total_held(&budget)), (0, 0));
    }

    #[test]
    fn four_of_the_longest_bodies_fit_for_any_max_body() {
        let budget = budget();
        let longest = 16 << 20;
        for class in [ClientClass::Verified, unknown(1)] {
            let held: Vec<_> = (0..LONGEST_BODIES)
                .map(|_| {
                    let mut held = budget.hold(class.clone(), 500, longest)?;
                    held.grow(longest).then_some(held)
                })
                .collect();
            assert!(held.iter().all(Option::is_some), "{class:?}");
        }
    }
}
