//! The connections of one listener and their order of displacement: a data structure without I/O, tasks or clock.
//!
//! # Invariants
//! - At most `max_unverified` connections are unverified. At most `max_unverified_per_source` of them belong to one source that is neither known nor
//!   shared. At most `max_verified` connections are verified.
//! - Only another verified connection displaces a verified one.
//! - A handshake that progresses is not displaced within its first second.
//! - Unverified connections of a known source are displaced after those of all unknown sources, while they are at most a quarter of `max_unverified`.
//! - A connection whose PROXY header has not arrived counts as a separate source, so one client behind a load balancer does not use up the limit of the
//!   others. The header moves the connection to its source, whose limit applies from then on.
//! - The memory for sources is bounded: by the number of unverified connections, and for known sources by [`known::MAX_SOURCES`].
//!
//! Every operation, and every displacement, costs O(log n).

mod id;
mod known;
mod unverified;
mod verified;

use std::collections::HashMap;
use std::time::Instant;

use super::source::Source;
use known::Known;
use unverified::Unverified;
use verified::Verified;

pub(super) use id::Id;
pub(super) use unverified::UnverifiedState;

/// The limits of one listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolLimits {
    /// The maximum number of connections that have carried a verified request.
    pub max_verified: usize,
    /// The maximum number of connections that have not.
    pub max_unverified: usize,
    /// The maximum number of unverified connections of one source that is neither known nor shared.
    pub max_unverified_per_source: usize,
}

/// A connection in the pool.
pub(super) trait PooledConnection {
    /// Returns the time since which it has had no request in progress; `None` while it has one.
    fn idle_since(&self) -> Option<Instant>;
}

/// A connection that the pool has removed and that must be closed.
#[derive(Debug)]
pub(super) struct Displaced<C> {
    pub connection: C,
    pub source: Source,
    /// True if its source is known.
    pub is_known: bool,
    /// Its state; `None` if it was verified.
    pub state: Option<UnverifiedState>,
}

/// The result of admitting a connection.
#[derive(Debug)]
pub(super) struct Admission<C> {
    /// `None`: the connection is rejected, because each connection that it could displace is in a handshake that progresses.
    pub id: Option<Id>,
    /// True if its source is known.
    pub is_known: bool,
    pub displaced: Vec<Displaced<C>>,
}

/// The number of connections by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// The handshake is not complete, or has failed.
    pub handshake: usize,
    /// The handshake is complete, and no request was verified yet.
    pub unverified: usize,
    pub verified: usize,
}

/// The connections of one listener.
pub(super) struct Pool<C> {
    limits: PoolLimits,
    last: Id,
    members: HashMap<Id, Member<C>>,
    unverified: Unverified,
    verified: Verified,
    known: Known,
}

struct Member<C> {
    connection: C,
    source: Source,
    is_shared: bool,
}

impl<C: PooledConnection> Pool<C> {
    pub(super) fn new(limits: PoolLimits) -> Self {
        Self {
            limits,
            last: 0,
            members: HashMap::new(),
            unverified: Unverified::new(limits.max_unverified),
            verified: Verified::default(),
            known: Known::default(),
        }
    }

    /// Changes the limits. Lower limits take effect with the next connections.
    pub(super) fn set_limits(&mut self, limits: PoolLimits) {
        self.limits = limits;
        self.unverified.set_limit(limits.max_unverified);
    }

    /// Admits a new connection that has not sent anything yet. A shared source is exempt from the limit per source.
    pub(super) fn enter(
        &mut self,
        connection: C,
        source: Source,
        is_shared: bool,
        now: Instant,
    ) -> Admission<C> {
        self.unverified.expire(now);
        let mut admission = Admission {
            id: None,
            is_known: is_shared || self.known.contains(&source, now),
            displaced: Vec::new(),
        };
        if !self.free_slot(&source, &mut admission, now) {
            return admission;
        }
        self.last += 1;
        let member = Member {
            connection,
            source: source.clone(),
            is_shared,
        };
        self.members.insert(self.last, member);
        self.unverified.insert(self.last, source.clone(), now);
        self.unverified.note(&source, admission.is_known);
        admission.id = Some(self.last);
        admission
    }

    /// Moves a connection to the source in its PROXY header. Now the limit of this source applies, unless the source is exempt.
    pub(super) fn identify(
        &mut self,
        id: Id,
        source: Source,
        is_exempt: bool,
        now: Instant,
    ) -> Admission<C> {
        self.unverified.expire(now);
        let mut admission = Admission {
            id: None,
            is_known: is_exempt || self.known.contains(&source, now),
            displaced: Vec::new(),
        };
        if !self.members.contains_key(&id) {
            return admission;
        }
        let is_admitted = self.free_slot_of_source(&source, &mut admission, now);
        let Some(member) = self.members.get_mut(&id).filter(|_| is_admitted) else {
            self.displace(id, now);
            return admission;
        };
        (member.source, member.is_shared) = (source.clone(), is_exempt);
        self.unverified.relocate(id, &source);
        self.unverified.note(&source, admission.is_known);
        admission.id = Some(id);
        admission
    }

    /// Displaces connections of `source` until its limit allows one more. Returns `false` if that is not possible.
    fn free_slot_of_source(
        &mut self,
        source: &Source,
        admission: &mut Admission<C>,
        now: Instant,
    ) -> bool {
        let most = self.limits.max_unverified_per_source;
        while !admission.is_known && self.unverified.count_of(source) >= most {
            let Some(victim) = self.unverified.least_advanced_of(source) else {
                return false;
            };
            admission.displaced.extend(self.displace(victim, now));
        }
        true
    }

    /// Displaces unverified connections until both limits allow one more. Returns `false` if that is not possible.
    fn free_slot(&mut self, source: &Source, admission: &mut Admission<C>, now: Instant) -> bool {
        if !self.free_slot_of_source(source, admission, now) {
            return false;
        }
        while self.unverified.count() >= self.limits.max_unverified {
            let Some(victim) = self.unverified.least_advanced() else {
                return false;
            };
            admission.displaced.extend(self.displace(victim, now));
        }
        true
    }

    /// Records progress of the handshake: the client's first bytes, or a reply of the client.
    pub(super) fn progress(&mut self, id: Id, now: Instant) {
        self.unverified.expire(now);
        self.unverified.progress(id, now);
    }

    /// Records that the handshake is complete.
    pub(super) fn establish(&mut self, id: Id) {
        self.unverified.establish(id);
    }

    /// Records that the handshake has failed and the client has not closed yet. Such a connection is displaced first.
    pub(super) fn linger(&mut self, id: Id) {
        self.unverified.linger(id);
    }

    /// Records a verified request, and returns whether the connection is verified now. It stays unverified while the limit of verified connections is
    /// reached and each of them has a request in progress.
    pub(super) fn verify(&mut self, id: Id, now: Instant) -> (bool, Vec<Displaced<C>>) {
        let mut displaced = Vec::new();
        let Some(member) = self.members.get(&id) else {
            return (false, displaced);
        };
        self.known.note(&member.source, now);
        self.unverified.note(&member.source, true);
        if self.verified.contains(id) {
            return (true, displaced);
        }
        while self.verified.count() >= self.limits.max_verified {
            let members = &self.members;
            let idle_since = |id: Id| members.get(&id)?.connection.idle_since();
            let Some(victim) = self.verified.longest_idle(idle_since, now) else {
                return (false, displaced);
            };
            displaced.extend(self.displace(victim, now));
        }
        self.unverified.remove(id);
        self.verified.insert(id, now);
        (true, displaced)
    }

    /// Removes a connection that has ended. Returns whether its source is known, or `None` if it had been displaced before.
    pub(super) fn leave(&mut self, id: Id, now: Instant) -> Option<bool> {
        Some(self.displace(id, now)?.is_known)
    }

    pub(super) fn counts(&self) -> Counts {
        let unverified = self.unverified.count_established();
        Counts {
            handshake: self.unverified.count() - unverified,
            unverified,
            verified: self.verified.count(),
        }
    }

    fn displace(&mut self, id: Id, now: Instant) -> Option<Displaced<C>> {
        let member = self.members.remove(&id)?;
        let state = self.unverified.remove(id);
        self.verified.remove(id);
        Some(Displaced {
            is_known: member.is_shared || self.known.contains(&member.source, now),
            connection: member.connection,
            source: member.source,
            state,
        })
    }
}

#[cfg(test)]
mod tests;
