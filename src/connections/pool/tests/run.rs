//! Random runs of the pool and the model: every displacement is compared, and the invariants are checked after every step.

use super::model::{Model, ModelConnection};
use super::*;
use crate::test_random::SplitMix64;

/// A random run of the pool and the model.
struct Run {
    random: SplitMix64,
    pool: Pool<Fake>,
    model: Model,
    limits: PoolLimits,
    now: Instant,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut random = SplitMix64::new(seed);
        let mut at_most = |n: u64| usize::try_from(1 + random.below(n)).unwrap();
        let limits = limits(at_most(6), at_most(16), at_most(8));
        Self {
            random,
            pool: Pool::new(limits),
            model: Model {
                max_privileged: limits.max_unverified / 4,
                ..Model::default()
            },
            limits,
            now: Instant::now(),
        }
    }

    fn step(&mut self) {
        let step = match self.random.below(20) {
            0 => 700,
            1 => 60_000,
            _ => 1 + self.random.below(120),
        };
        self.now += Duration::from_millis(step);
        match self.random.below(10) {
            0..=4 => self.enter(),
            n => self.touch(n),
        }
        self.check_bounds();
    }

    fn enter(&mut self) {
        let from = u32::try_from(self.random.below(7)).unwrap();
        let is_shared = from == 0;
        let is_known = is_shared || self.model.is_known(from, self.now);
        let (mut expected, mut refused) = (Vec::new(), false);
        loop {
            let own_limit = self.limits.max_unverified_per_source;
            let own_source = (!is_known && self.model.count_of(from) >= own_limit).then_some(from);
            if own_source.is_none() && self.model.unverified().count() < self.limits.max_unverified
            {
                break;
            }
            let Some(victim) = self.model.victim(own_source, self.now) else {
                refused = true;
                break;
            };
            expected.push(victim);
            self.model.remove(victim);
        }
        let idle_since = Rc::new(Cell::new(Some(self.now)));
        let fake = Fake {
            number: 0,
            idle_since: Rc::clone(&idle_since),
        };
        let before: Vec<Id> = self.pool.members.keys().copied().collect();
        let admission = self.pool.enter(fake, source(from), is_shared, self.now);
        let mut gone = before;
        gone.retain(|id| !self.pool.members.contains_key(id));
        let sorted = |mut ids: Vec<Id>| {
            ids.sort_unstable();
            ids
        };
        assert_eq!(sorted(gone), sorted(expected));
        assert_eq!(
            (admission.id.is_none(), admission.is_known),
            (refused, is_known)
        );
        assert!(
            admission.displaced.iter().all(|d| d.state.is_some()),
            "an unverified connection displaced a verified one"
        );
        if admission.id.is_some() {
            self.note(from, is_known);
        }
        self.remember(admission.id, from, idle_since);
    }

    fn note(&mut self, source: u32, is_known: bool) {
        match is_known {
            true => self.model.noted.insert(source),
            false => self.model.noted.remove(&source),
        };
    }

    fn remember(&mut self, id: Option<Id>, source: u32, idle_since: Rc<Cell<Option<Instant>>>) {
        let Some(id) = id else { return };
        let is_first = self.model.count_of(source) == 0;
        for connection in self.model.all.iter_mut().filter(|f| f.source == source) {
            connection.is_first = false;
        }
        self.model.all.push(ModelConnection {
            id,
            source,
            entered: self.now,
            is_first,
            began: None,
            answered: None,
            state: UnverifiedState::Silent,
            is_verified: false,
            idle_since,
        });
    }

    /// Delivers a PROXY header: a connection moves to another source.
    fn identify(&mut self, index: usize) {
        let to = u32::try_from(self.random.below(7)).unwrap();
        let (id, now) = (self.model.all[index].id, self.now);
        let is_known = to == 0 || self.model.is_known(to, now);
        let (mut expected, mut refused) = (Vec::new(), false);
        while !is_known && self.model.count_of(to) >= self.limits.max_unverified_per_source {
            let Some(victim) = self.model.victim(Some(to), now) else {
                refused = true;
                break;
            };
            expected.push(victim);
            self.model.remove(victim);
        }
        let admission = self.pool.identify(id, source(to), to == 0, now);
        assert_eq!(admission.displaced.len(), expected.len());
        assert!(
            expected
                .iter()
                .all(|gone| !self.pool.members.contains_key(gone))
        );
        assert_eq!(admission.is_known, is_known);
        // It may have displaced itself if it belongs to the source already.
        let is_there = self.model.all.iter().any(|connection| connection.id == id);
        assert_eq!(admission.id.is_some(), is_there && !refused);
        if refused || !is_there {
            return self.model.remove(id);
        }
        for connection in &mut self.model.all {
            connection.is_first &= connection.source != to || connection.id == id;
            if connection.id == id {
                connection.source = to;
            }
        }
        self.note(to, is_known);
    }

    /// Applies a random event to a connection.
    fn touch(&mut self, event: u64) {
        let count = u64::try_from(self.model.all.len()).unwrap();
        if count == 0 {
            return;
        }
        let index = usize::try_from(self.random.below(count)).unwrap();
        let (now, connection) = (self.now, &mut self.model.all[index]);
        let id = connection.id;
        let is_open = !connection.is_verified && connection.state != UnverifiedState::Lingering;
        match event {
            5 if is_open => {
                self.pool.progress(id, now);
                if connection.state != UnverifiedState::Established {
                    connection.state = UnverifiedState::Handshake;
                    connection.began.get_or_insert(now);
                    connection.answered = Some(now);
                }
            }
            6 if is_open => {
                self.pool.establish(id);
                connection.state = UnverifiedState::Established;
            }
            7 if !connection.is_verified && connection.state != UnverifiedState::Established => {
                self.pool.linger(id);
                connection.state = UnverifiedState::Lingering;
            }
            8 if connection.state == UnverifiedState::Established => self.verify(index),
            8 if !connection.is_verified && connection.source != 0 => self.identify(index),
            9 => {
                assert!(self.pool.leave(id, now).is_some());
                self.model.remove(id);
            }
            _ => {
                let idle = connection.idle_since.get().is_none().then_some(now);
                connection.idle_since.set(idle);
            }
        }
    }

    fn verify(&mut self, index: usize) {
        let ModelConnection { id, source, .. } = self.model.all[index];
        // The verified request is in progress.
        self.model.all[index].idle_since.set(None);
        self.model.known.push((source, self.now));
        self.note(source, true);
        let was_verified = self.model.all[index].is_verified;
        let verified = self
            .model
            .all
            .iter()
            .filter(|connection| connection.is_verified);
        let is_full = !was_verified && verified.clone().count() >= self.limits.max_verified;
        let idle =
            verified.filter_map(|connection| Some((connection.idle_since.get()?, connection.id)));
        let longest_idle = idle.min().filter(|(since, _)| *since < self.now);
        let (is_verified, displaced) = self.pool.verify(id, self.now);
        assert_eq!(is_verified, !is_full || longest_idle.is_some());
        assert_eq!(displaced.len(), usize::from(is_full && is_verified));
        self.model.all[index].is_verified = is_verified;
        for gone in displaced {
            let since = gone.connection.idle_since().unwrap();
            assert_eq!(Some(since), longest_idle.map(|(since, _)| since));
            let is_displaced =
                |f: &ModelConnection| Rc::ptr_eq(&f.idle_since, &gone.connection.idle_since);
            self.model
                .all
                .retain(|connection| !is_displaced(connection));
        }
    }

    fn check_bounds(&self) {
        let counts = self.pool.counts();
        let unverified = self.model.unverified().count();
        assert_eq!(counts.handshake + counts.unverified, unverified);
        assert_eq!(counts.verified, self.model.all.len() - unverified);
        assert_eq!(self.pool.members.len(), self.model.all.len());
        assert!(unverified <= self.limits.max_unverified);
        assert!(counts.verified <= self.limits.max_verified);
    }
}

#[test]
fn the_pool_agrees_with_a_naive_model() {
    for seed in 0..300 {
        let mut run = Run::new(seed);
        for step in 0..400 {
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run.step()));
            assert!(outcome.is_ok(), "seed {seed}, step {step}");
        }
    }
}
