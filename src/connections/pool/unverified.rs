//! The unverified connections in their order of displacement: connections of unprivileged sources first; of these the least advanced; of these a
//! connection of the source with the most connections; and of that source the oldest.
//!
//! A known source is privileged while it has at most a quarter of all unverified connections. An attacker who shares the address of a known source
//! must not displace the connections of all other sources.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use super::id::Id;
use crate::connections::Source;

/// The time after its first bytes in which a handshake that progresses is not displaced.
pub(super) const FIRST_SECOND: Duration = Duration::from_secs(1);

/// The time within which the client must reply, so that its handshake progresses. KMS is in the same AWS Region, so 400 ms is many round trips. With
/// 1,000 connections per second that send only a ClientHello, fewer connections than the default `max_unverified` are protected.
pub(super) const REPLIES_WITHIN: Duration = Duration::from_millis(400);

/// The time in which the first connection of a source is displaced last, because the first bytes of its client may still be in transit.
pub(super) const ARRIVES_WITHIN: Duration = Duration::from_millis(100);

/// The state of an unverified connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum UnverifiedState {
    /// Nothing was received.
    Silent,
    /// The handshake has begun.
    Handshake,
    /// The handshake is complete.
    Established,
    /// The handshake has failed, and the client has not closed yet.
    Lingering,
}

/// The rank of a connection in the order of displacement. Connections of the rank `Progressing` are not displaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Silent,
    Stalled,
    Established,
    Arriving,
    Progressing,
}

/// A known source is privileged with at most this fraction of all unverified connections: one in `PRIVILEGED_FRACTION`.
const PRIVILEGED_FRACTION: usize = 4;

#[derive(Default)]
pub(super) struct Unverified {
    /// The maximum number of connections with which a known source is privileged.
    max_privileged: usize,
    members: HashMap<Id, UnverifiedMember>,
    groups: HashMap<Source, Group>,
    order: BTreeSet<GroupOrder>,
    /// The times at which `Arriving` and `Progressing` connections lose their rank.
    deadlines: BTreeSet<(Instant, Id)>,
    established: usize,
}

struct UnverifiedMember {
    source: Source,
    entered: Instant,
    began: Option<Instant>,
    state: UnverifiedState,
    rank: Rank,
    deadline: Option<Instant>,
}

/// The connections of one source, in the order of displacement.
#[derive(Default)]
struct Group {
    members: BTreeSet<(Rank, Instant, Id)>,
    is_known: bool,
    order: Option<GroupOrder>,
}

/// The position of a source in the order of displacement: that of its first connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct GroupOrder {
    is_progressing: bool,
    is_privileged: bool,
    rank: Rank,
    size: Reverse<usize>,
    entered: Instant,
    id: Id,
}

impl Unverified {
    /// Creates an empty set for at most `limit` connections.
    pub(super) fn new(limit: usize) -> Self {
        let mut unverified = Self::default();
        unverified.set_limit(limit);
        unverified
    }

    /// Changes the limit. The position of a source changes with the next change of its connections.
    pub(super) fn set_limit(&mut self, limit: usize) {
        self.max_privileged = limit / PRIVILEGED_FRACTION;
    }

    /// Records whether a source that has unverified connections is known now.
    pub(super) fn note(&mut self, source: &Source, is_known: bool) {
        if let Some(group) = self.groups.get_mut(source) {
            group.is_known = is_known;
            Self::reorder(&mut self.order, group, self.max_privileged);
        }
    }

    pub(super) fn count(&self) -> usize {
        self.members.len()
    }

    pub(super) fn count_established(&self) -> usize {
        self.established
    }

    pub(super) fn count_of(&self, source: &Source) -> usize {
        let group = self.groups.get(source);
        group.map_or(0, |group| group.members.len())
    }

    /// Returns the connection to displace first; `None` when all are protected.
    pub(super) fn least_advanced(&self) -> Option<Id> {
        let first = self.order.first()?;
        (!first.is_progressing).then_some(first.id)
    }

    /// Returns the connection of one source to displace first; `None` when all are protected.
    pub(super) fn least_advanced_of(&self, source: &Source) -> Option<Id> {
        let (rank, _, id) = self.groups.get(source)?.members.first()?;
        (*rank != Rank::Progressing).then_some(*id)
    }

    pub(super) fn insert(&mut self, id: Id, source: Source, now: Instant) {
        self.end_arrivals(&source);
        let is_first = self.count_of(&source) == 0;
        let member = UnverifiedMember {
            source,
            entered: now,
            began: None,
            state: UnverifiedState::Silent,
            rank: if is_first {
                Rank::Arriving
            } else {
                Rank::Silent
            },
            deadline: is_first.then(|| now + ARRIVES_WITHIN),
        };
        self.put(id, member);
    }

    /// Moves a connection to another source. Its state stays the same.
    pub(super) fn relocate(&mut self, id: Id, source: &Source) {
        let Some(mut member) = self.take(id) else {
            return;
        };
        self.remove_if_empty(&member.source);
        self.end_arrivals(source);
        member.source = source.clone();
        self.put(id, member);
    }

    /// Ends the rank `Arriving` of a source's first connection, because the source has a second connection now.
    fn end_arrivals(&mut self, source: &Source) {
        let group = self.groups.get(source);
        let arriving = group.and_then(|group| group.members.iter().next_back().copied());
        if let Some((Rank::Arriving, _, id)) = arriving {
            self.change(id, |member| member.set(Rank::Silent, None));
        }
    }

    /// Ends the protection of connections whose deadline has passed.
    pub(super) fn expire(&mut self, now: Instant) {
        while let Some((deadline, id)) = self.deadlines.first().copied()
            && deadline <= now
        {
            self.change(id, |member| match member.rank {
                Rank::Progressing => member.set(Rank::Stalled, None),
                _ => member.set(Rank::Silent, None),
            });
        }
    }

    pub(super) fn progress(&mut self, id: Id, now: Instant) {
        self.change(id, |member| {
            if !matches!(
                member.state,
                UnverifiedState::Silent | UnverifiedState::Handshake
            ) {
                return;
            }
            member.state = UnverifiedState::Handshake;
            let end = *member.began.get_or_insert(now) + FIRST_SECOND;
            match now < end {
                true => member.set(Rank::Progressing, Some(end.min(now + REPLIES_WITHIN))),
                false => member.set(Rank::Stalled, None),
            }
        });
    }

    pub(super) fn establish(&mut self, id: Id) {
        self.change(id, |member| {
            member.state = UnverifiedState::Established;
            member.set(Rank::Established, None);
        });
    }

    pub(super) fn linger(&mut self, id: Id) {
        self.change(id, |member| {
            member.state = UnverifiedState::Lingering;
            member.set(Rank::Silent, None);
        });
    }

    /// Removes a connection and returns its state; `None` if it is not in the set.
    pub(super) fn remove(&mut self, id: Id) -> Option<UnverifiedState> {
        let member = self.take(id)?;
        self.remove_if_empty(&member.source);
        Some(member.state)
    }

    fn remove_if_empty(&mut self, source: &Source) {
        let group = self.groups.get(source);
        if group.is_some_and(|group| group.members.is_empty()) {
            self.groups.remove(source);
        }
    }

    fn change(&mut self, id: Id, change: impl FnOnce(&mut UnverifiedMember)) {
        if let Some(mut member) = self.take(id) {
            change(&mut member);
            self.put(id, member);
        }
    }

    fn put(&mut self, id: Id, member: UnverifiedMember) {
        let group = self.groups.entry(member.source.clone()).or_default();
        group.members.insert((member.rank, member.entered, id));
        Self::reorder(&mut self.order, group, self.max_privileged);
        self.deadlines
            .extend(member.deadline.map(|deadline| (deadline, id)));
        self.established += usize::from(member.state == UnverifiedState::Established);
        self.members.insert(id, member);
    }

    fn take(&mut self, id: Id) -> Option<UnverifiedMember> {
        let member = self.members.remove(&id)?;
        if let Some(group) = self.groups.get_mut(&member.source) {
            group.members.remove(&(member.rank, member.entered, id));
            Self::reorder(&mut self.order, group, self.max_privileged);
        }
        if let Some(deadline) = member.deadline {
            self.deadlines.remove(&(deadline, id));
        }
        self.established -= usize::from(member.state == UnverifiedState::Established);
        Some(member)
    }

    fn reorder(order: &mut BTreeSet<GroupOrder>, group: &mut Group, max_privileged: usize) {
        let size = group.members.len();
        let new = group.members.first().map(|(rank, entered, id)| GroupOrder {
            is_progressing: *rank == Rank::Progressing,
            is_privileged: group.is_known && size <= max_privileged,
            rank: *rank,
            size: Reverse(size),
            entered: *entered,
            id: *id,
        });
        if new == group.order {
            return;
        }
        if let Some(previous) = group.order.take() {
            order.remove(&previous);
        }
        order.extend(new);
        group.order = new;
    }
}

impl UnverifiedMember {
    fn set(&mut self, rank: Rank, deadline: Option<Instant>) {
        (self.rank, self.deadline) = (rank, deadline);
    }
}
