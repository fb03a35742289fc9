//! Connections without a verified request, in the order in which they give way: those of strangers first; of these the least advanced; among those,
//! of the source that has the most connections; among its own, the oldest.
//!
//! A known source has had a verified request lately. It is no stranger while it has at most a quarter of all connections here: an attacker who
//! shares its address must not crowd out the others.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use super::id::Id;
use crate::connections::Source;

/// A handshake that progresses is protected this long after its first bytes.
pub(super) const FIRST_SECOND: Duration = Duration::from_secs(1);

/// A handshake progresses when the client answers within this time. KMS is in the same AWS Region, so 400 ms is many round trips; and at 1,000
/// connections per second, each with a ClientHello and nothing after it, fewer than the default `max_unverified` are protected.
pub(super) const ANSWERS_WITHIN: Duration = Duration::from_millis(400);

/// The first connection of a source gives way last within this time: the first bytes of its client are still on their way.
pub(super) const ARRIVES_WITHIN: Duration = Duration::from_millis(100);

/// How far an unverified connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum State {
    /// Nothing was received.
    Silent,
    /// The handshake has begun.
    Handshake,
    /// The handshake is done.
    Established,
    /// The handshake was refused; the client has not closed yet.
    Lingering,
}

/// The order of displacement. `Progressing` is not displaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Silent,
    Stalled,
    Established,
    Arriving,
    Progressing,
}

/// The share of all unverified connections that a known source may have without being taken for a stranger.
const SHARE_OF_KNOWN: usize = 4;

#[derive(Default)]
pub(super) struct Unverified {
    /// The most connections of a known source that is not taken for a stranger.
    most_of_known: usize,
    places: HashMap<Id, Place>,
    groups: HashMap<Source, Group>,
    order: BTreeSet<Key>,
    /// When `Arriving` and `Progressing` connections lose that rank.
    deadlines: BTreeSet<(Instant, Id)>,
    established: usize,
}

struct Place {
    source: Source,
    entered: Instant,
    began: Option<Instant>,
    state: State,
    rank: Rank,
    deadline: Option<Instant>,
}

/// The connections of one source, the first to give way first.
#[derive(Default)]
struct Group {
    members: BTreeSet<(Rank, Instant, Id)>,
    is_known: bool,
    key: Option<Key>,
}

/// The place of a source in the order: that of its first member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    is_progressing: bool,
    is_no_stranger: bool,
    rank: Rank,
    size: Reverse<usize>,
    entered: Instant,
    id: Id,
}

impl Unverified {
    /// None yet, and at most `limit` in time.
    pub(super) fn new(limit: usize) -> Self {
        let mut unverified = Self::default();
        unverified.set_limit(limit);
        unverified
    }

    /// Changes the limit. The place of a source follows with its next change.
    pub(super) fn set_limit(&mut self, limit: usize) {
        self.most_of_known = limit / SHARE_OF_KNOWN;
    }

    /// Notes whether a source that has connections here is known now.
    pub(super) fn note(&mut self, source: &Source, is_known: bool) {
        if let Some(group) = self.groups.get_mut(source) {
            group.is_known = is_known;
            Self::reorder(&mut self.order, group, self.most_of_known);
        }
    }

    pub(super) fn count(&self) -> usize {
        self.places.len()
    }

    pub(super) fn count_established(&self) -> usize {
        self.established
    }

    pub(super) fn count_of(&self, source: &Source) -> usize {
        let group = self.groups.get(source);
        group.map_or(0, |group| group.members.len())
    }

    /// The connection that gives way first; `None` when all are protected.
    pub(super) fn least_advanced(&self) -> Option<Id> {
        let first = self.order.first()?;
        (!first.is_progressing).then_some(first.id)
    }

    /// The same among those of one source.
    pub(super) fn least_advanced_of(&self, source: &Source) -> Option<Id> {
        let (rank, _, id) = self.groups.get(source)?.members.first()?;
        (*rank != Rank::Progressing).then_some(*id)
    }

    pub(super) fn insert(&mut self, id: Id, source: Source, now: Instant) {
        self.end_arrivals(&source);
        let is_first = self.count_of(&source) == 0;
        let place = Place {
            source,
            entered: now,
            began: None,
            state: State::Silent,
            rank: if is_first {
                Rank::Arriving
            } else {
                Rank::Silent
            },
            deadline: is_first.then(|| now + ARRIVES_WITHIN),
        };
        self.put(id, place);
    }

    /// Moves a connection to another source, as far as it has come.
    pub(super) fn relocate(&mut self, id: Id, source: &Source) {
        let Some(mut place) = self.take(id) else {
            return;
        };
        self.forget_if_empty(&place.source);
        self.end_arrivals(source);
        place.source = source.clone();
        self.put(id, place);
    }

    /// A source with a second connection has no first one to be waited for.
    fn end_arrivals(&mut self, source: &Source) {
        let group = self.groups.get(source);
        let arriving = group.and_then(|group| group.members.iter().next_back().copied());
        if let Some((Rank::Arriving, _, id)) = arriving {
            self.change(id, |place| place.set(Rank::Silent, None));
        }
    }

    /// Ends the protection of connections whose deadline has passed.
    pub(super) fn expire(&mut self, now: Instant) {
        while let Some((deadline, id)) = self.deadlines.first().copied()
            && deadline <= now
        {
            self.change(id, |place| match place.rank {
                Rank::Progressing => place.set(Rank::Stalled, None),
                _ => place.set(Rank::Silent, None),
            });
        }
    }

    pub(super) fn progress(&mut self, id: Id, now: Instant) {
        self.change(id, |place| {
            if !matches!(place.state, State::Silent | State::Handshake) {
                return;
            }
            place.state = State::Handshake;
            let end = *place.began.get_or_insert(now) + FIRST_SECOND;
            match now < end {
                true => place.set(Rank::Progressing, Some(end.min(now + ANSWERS_WITHIN))),
                false => place.set(Rank::Stalled, None),
            }
        });
    }

    pub(super) fn establish(&mut self, id: Id) {
        self.change(id, |place| {
            place.state = State::Established;
            place.set(Rank::Established, None);
        });
    }

    pub(super) fn linger(&mut self, id: Id) {
        self.change(id, |place| {
            place.state = State::Lingering;
            place.set(Rank::Silent, None);
        });
    }

    /// Removes a connection; returns how far it had come, `None` if it is not here.
    pub(super) fn remove(&mut self, id: Id) -> Option<State> {
        let place = self.take(id)?;
        self.forget_if_empty(&place.source);
        Some(place.state)
    }

    fn forget_if_empty(&mut self, source: &Source) {
        let group = self.groups.get(source);
        if group.is_some_and(|group| group.members.is_empty()) {
            self.groups.remove(source);
        }
    }

    fn change(&mut self, id: Id, change: impl FnOnce(&mut Place)) {
        if let Some(mut place) = self.take(id) {
            change(&mut place);
            self.put(id, place);
        }
    }

    fn put(&mut self, id: Id, place: Place) {
        let group = self.groups.entry(place.source.clone()).or_default();
        group.members.insert((place.rank, place.entered, id));
        Self::reorder(&mut self.order, group, self.most_of_known);
        self.deadlines
            .extend(place.deadline.map(|deadline| (deadline, id)));
        self.established += usize::from(place.state == State::Established);
        self.places.insert(id, place);
    }

    fn take(&mut self, id: Id) -> Option<Place> {
        let place = self.places.remove(&id)?;
        if let Some(group) = self.groups.get_mut(&place.source) {
            group.members.remove(&(place.rank, place.entered, id));
            Self::reorder(&mut self.order, group, self.most_of_known);
        }
        if let Some(deadline) = place.deadline {
            self.deadlines.remove(&(deadline, id));
        }
        self.established -= usize::from(place.state == State::Established);
        Some(place)
    }

    fn reorder(order: &mut BTreeSet<Key>, group: &mut Group, most_of_known: usize) {
        let size = group.members.len();
        let key = group.members.first().map(|(rank, entered, id)| Key {
            is_progressing: *rank == Rank::Progressing,
            is_no_stranger: group.is_known && size <= most_of_known,
            rank: *rank,
            size: Reverse(size),
            entered: *entered,
            id: *id,
        });
        if key == group.key {
            return;
        }
        if let Some(former) = group.key.take() {
            order.remove(&former);
        }
        order.extend(key);
        group.key = key;
    }
}

impl Place {
    fn set(&mut self, rank: Rank, deadline: Option<Instant>) {
        (self.rank, self.deadline) = (rank, deadline);
    }
}
