//! A naive model of the pool: the same rules, with a search through all connections.

use std::collections::HashSet;

use super::*;

/// A connection in the model.
#[derive(Clone, Debug)]
pub(super) struct ModelConnection {
    pub(super) id: Id,
    pub(super) source: u32,
    pub(super) entered: Instant,
    /// True if it has been the only connection of its source since it was accepted.
    pub(super) is_first: bool,
    pub(super) began: Option<Instant>,
    pub(super) answered: Option<Instant>,
    pub(super) state: UnverifiedState,
    pub(super) is_verified: bool,
    pub(super) idle_since: Rc<Cell<Option<Instant>>>,
}

impl ModelConnection {
    fn is_arriving(&self, now: Instant) -> bool {
        self.state == UnverifiedState::Silent
            && self.is_first
            && now < self.entered + ARRIVES_WITHIN
    }

    fn is_protected(&self, now: Instant) -> bool {
        let within = |at: Option<Instant>, time| at.is_some_and(|at| now < at + time);
        self.state == UnverifiedState::Handshake
            && within(self.began, FIRST_SECOND)
            && within(self.answered, REPLIES_WITHIN)
    }

    /// Returns how advanced it is. Less advanced connections are displaced first.
    fn advancement(&self, now: Instant) -> u8 {
        match self.state {
            UnverifiedState::Silent if self.is_arriving(now) => 3,
            UnverifiedState::Silent | UnverifiedState::Lingering => 0,
            UnverifiedState::Handshake => 1,
            UnverifiedState::Established => 2,
        }
    }
}

#[derive(Default)]
pub(super) struct Model {
    pub(super) all: Vec<ModelConnection>,
    pub(super) known: Vec<(u32, Instant)>,
    /// The sources that were known at their last new connection or verified request.
    pub(super) noted: HashSet<u32>,
    pub(super) max_privileged: usize,
}

impl Model {
    pub(super) fn is_known(&self, source: u32, now: Instant) -> bool {
        let mut known = self.known.iter();
        known.any(|(known, at)| *known == source && now < *at + KNOWN_FOR)
    }

    pub(super) fn unverified(&self) -> impl Iterator<Item = &ModelConnection> {
        self.all.iter().filter(|connection| !connection.is_verified)
    }

    pub(super) fn count_of(&self, source: u32) -> usize {
        self.unverified().filter(|f| f.source == source).count()
    }

    pub(super) fn victim(&self, of: Option<u32>, now: Instant) -> Option<Id> {
        let mut candidates: Vec<&ModelConnection> = self.unverified().collect();
        candidates.retain(|f| of.is_none_or(|of| f.source == of) && !f.is_protected(now));
        let is_privileged = |source: u32| {
            self.noted.contains(&source) && self.count_of(source) <= self.max_privileged
        };
        let key = |f: &&ModelConnection| {
            (
                is_privileged(f.source),
                f.advancement(now),
                usize::MAX - self.count_of(f.source),
                f.entered,
                f.id,
            )
        };
        candidates.into_iter().min_by_key(key).map(|f| f.id)
    }

    pub(super) fn remove(&mut self, id: Id) {
        self.all.retain(|connection| connection.id != id);
    }
}
