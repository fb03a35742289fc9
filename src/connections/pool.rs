//! Which connections may stay when there are too many: a data structure without I/O, tasks or a clock of its own.
//!
//! # Invariants
//! - At most `max_unverified` connections have not carried a verified request, and at most `max_unverified_per_source` of one source, unless
//!   the source is known or shared. At most `max_verified` connections have carried one.
//! - A verified connection gives way to another verified one only: nothing that a stranger does displaces it.
//! - A handshake that progresses is not displaced within its first second.
//! - A known source's unverified connections give way after all strangers' ones, while they are at most a quarter of `max_unverified`.
//! - A connection whose PROXY header has not arrived is a source of its own: no client behind a load balancer uses up what the others need. The
//!   header moves it to its source, under that source's limit.
//! - The memory for sources is bounded: those of unverified connections by their number, known ones by [`known::MAX_SOURCES`].
//!
//! Every operation costs O(log n), a displaced connection included.

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
pub(super) use unverified::State;

/// The bounds of one listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolLimits {
    /// Connections that have carried a verified request.
    pub max_verified: usize,
    /// Connections that have not.
    pub max_unverified: usize,
    /// Of them, those of one source that is neither known nor shared.
    pub max_unverified_per_source: usize,
}

/// What the pool has to know of a connection.
pub(super) trait Occupant {
    /// Since when it has had no request in progress; `None` while it has one.
    fn idle_since(&self) -> Option<Instant>;
}

/// A connection that must be closed: it is not in the pool any more.
#[derive(Debug)]
pub(super) struct Displaced<C> {
    pub connection: C,
    pub source: Source,
    /// Whether its source had a verified request lately, or is shared.
    pub is_known: bool,
    /// How far it had come; `None` for a verified one.
    pub state: Option<State>,
}

/// What became of a new connection.
#[derive(Debug)]
pub(super) struct Admission<C> {
    /// `None`: it is refused, because every connection that it competes with is a handshake that progresses.
    pub id: Option<Id>,
    /// Whether its source had a verified request lately, or is shared.
    pub is_known: bool,
    pub displaced: Vec<Displaced<C>>,
}

/// How many connections there are now, by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// TLS is not established, or was refused.
    pub handshake: usize,
    /// TLS is established, no request was verified yet.
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

impl<C: Occupant> Pool<C> {
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

    /// Changes the bounds; lower ones take effect with the next connections.
    pub(super) fn set_limits(&mut self, limits: PoolLimits) {
        self.limits = limits;
        self.unverified.set_limit(limits.max_unverified);
    }

    /// Admits a new connection that has sent nothing yet. A shared source is exempt from the limit per source.
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
        if !self.make_room(&source, &mut admission, now) {
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

    /// Moves a connection to the source that its PROXY header names. That source's limit counts now; an exempt one has none.
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
        let is_admitted = self.make_room_in_source(&source, &mut admission, now);
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

    /// Displaces connections of `source` until its limit leaves room for one more; `false` when it does not.
    fn make_room_in_source(
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

    /// Displaces unverified connections until both limits leave room for one more; `false` when they do not.
    fn make_room(&mut self, source: &Source, admission: &mut Admission<C>, now: Instant) -> bool {
        if !self.make_room_in_source(source, admission, now) {
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

    /// Notes that the handshake has come further: its first bytes, or an answer to what the server has sent.
    pub(super) fn progress(&mut self, id: Id, now: Instant) {
        self.unverified.expire(now);
        self.unverified.progress(id, now);
    }

    /// Notes that the handshake is done.
    pub(super) fn establish(&mut self, id: Id) {
        self.unverified.establish(id);
    }

    /// Notes that only the client's goodbye is awaited: the first to give way.
    pub(super) fn linger(&mut self, id: Id) {
        self.unverified.linger(id);
    }

    /// Notes a verified request. While every verified connection has a request in progress and their limit is reached, the connection stays
    /// among the unverified ones; `true` when it is verified now.
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

    /// A connection has ended. Returns whether its source is known, or `None` if it had been displaced before.
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
