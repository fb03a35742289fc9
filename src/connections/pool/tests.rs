//! The pool against a naive model with injected time: every displacement is checked, and the invariants after every step.

use std::cell::Cell;
use std::collections::HashSet;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use super::known::KNOWN_FOR;
use super::unverified::{ANSWERS_WITHIN, ARRIVES_WITHIN, FIRST_SECOND};
use super::*;

/// A connection's time of last use; `None` while it has a request.
#[derive(Clone, Debug)]
struct Fake {
    number: usize,
    idle_since: Rc<Cell<Option<Instant>>>,
}

impl Occupant for Fake {
    fn idle_since(&self) -> Option<Instant> {
        self.idle_since.get()
    }
}

fn source(n: u32) -> Source {
    Source::from(IpAddr::from((0x7f00_0000 + n).to_be_bytes()))
}

fn limits(max_verified: usize, max_unverified: usize, per_source: usize) -> PoolLimits {
    PoolLimits {
        max_verified,
        max_unverified,
        max_unverified_per_source: per_source,
    }
}

/// A pool, and a clock that a test moves.
struct Scene {
    pool: Pool<Fake>,
    now: Instant,
    made: usize,
}

impl Scene {
    fn new(limits: PoolLimits) -> Self {
        Self {
            pool: Pool::new(limits),
            now: Instant::now(),
            made: 0,
        }
    }

    fn after(&mut self, time: Duration) {
        self.now += time;
    }

    /// A millisecond later, so that ages differ.
    fn enter(&mut self, n: u32) -> (Option<Id>, Vec<usize>) {
        self.after(Duration::from_millis(1));
        let fake = Fake {
            number: self.made,
            idle_since: Rc::new(Cell::new(Some(self.now))),
        };
        self.made += 1;
        let admission = self.pool.enter(fake, source(n), false, self.now);
        let displaced = admission.displaced.iter();
        let numbers = displaced.map(|displaced| displaced.connection.number);
        (admission.id, numbers.collect())
    }

    fn admit(&mut self, n: u32) -> Id {
        let (id, displaced) = self.enter(n);
        assert_eq!(displaced, [] as [usize; 0]);
        id.unwrap()
    }

    fn admit_each<const N: usize>(&mut self, sources: [u32; N]) -> [Id; N] {
        sources.map(|n| self.admit(n))
    }
}

#[test]
fn silent_connections_give_way_first_then_stalled_handshakes_then_established_ones() {
    let mut scene = Scene::new(limits(9, 4, 9));
    let [established, stalled, _silent, progressing] = scene.admit_each([1; 4]);
    scene.pool.establish(established);
    scene.pool.progress(stalled, scene.now);
    scene.after(ANSWERS_WITHIN);
    scene.pool.progress(progressing, scene.now);
    assert_eq!(scene.enter(1).1, [2], "the silent one");
    scene.pool.establish(5);
    assert_eq!(scene.enter(1).1, [1], "the stalled handshake");
    scene.pool.establish(6);
    assert_eq!(scene.enter(1).1, [0], "the oldest established one");
    assert_eq!(scene.pool.counts().unverified, 2);
    let lingering = 5;
    scene.pool.linger(lingering);
    assert_eq!(
        scene.enter(1).1,
        [4],
        "a refused handshake counts as silent"
    );
}

#[test]
fn the_oldest_of_the_busiest_source_gives_way() {
    let mut scene = Scene::new(limits(9, 6, 9));
    scene.admit_each([3, 1, 2, 1, 2, 1]);
    assert_eq!(scene.enter(4).1, [1], "the oldest of the three of source 1");
    assert_eq!(
        scene.enter(4).1,
        [2],
        "sources 1 and 2 have two each, and this is the oldest of them"
    );
}

#[test]
fn a_source_at_its_limit_displaces_its_own() {
    let mut scene = Scene::new(limits(9, 100, 3));
    scene.admit_each([1, 2, 1, 1]);
    assert_eq!(scene.enter(1).1, [0]);
    assert_eq!(scene.pool.counts().handshake, 4);
    // A verified request makes the source known: the limit does not count any more, until it is forgotten.
    scene.pool.verify(3, scene.now);
    scene.admit_each([1; 5]);
    scene.after(KNOWN_FOR);
    let (id, displaced) = scene.enter(1);
    assert!(id.is_some() && displaced.len() == 5, "{displaced:?}");
}

#[test]
fn a_handshake_that_progresses_is_not_displaced_within_its_first_second() {
    let mut scene = Scene::new(limits(9, 1, 1));
    let id = scene.admit(1);
    let mut waited = Duration::ZERO;
    while waited < FIRST_SECOND {
        scene.pool.progress(id, scene.now);
        assert_eq!(scene.enter(2), (None, vec![]), "after {waited:?}");
        let step = ANSWERS_WITHIN - Duration::from_millis(2);
        scene.after(step);
        waited += step + Duration::from_millis(1);
    }
    scene.pool.progress(id, scene.now);
    assert_eq!(scene.enter(2).1, [0], "its second is over");
}

#[test]
fn a_handshake_that_stalls_is_displaced() {
    let mut scene = Scene::new(limits(9, 1, 1));
    let id = scene.admit(1);
    scene.pool.progress(id, scene.now);
    assert_eq!(scene.enter(2), (None, vec![]));
    scene.after(ANSWERS_WITHIN);
    assert_eq!(scene.enter(2).1, [0]);
}

#[test]
fn a_known_source_gives_way_after_all_strangers_while_it_has_no_more_than_a_quarter() {
    let mut scene = Scene::new(limits(9, 8, 9));
    let verified = scene.admit(1);
    scene.pool.verify(verified, scene.now);
    scene.admit_each([1, 1]);
    for id in scene.admit_each([2, 2, 3, 3, 4, 4]) {
        scene.pool.establish(id);
    }
    scene.after(ARRIVES_WITHIN);
    for newcomer in 5..12 {
        let (_, displaced) = scene.enter(newcomer);
        assert!(
            displaced.iter().all(|number| *number >= 3),
            "{displaced:?} and not the silent ones of the known source"
        );
        scene.after(ARRIVES_WITHIN);
    }
    // A third one, of eight: the source is a stranger like any other.
    let (_, displaced) = scene.enter(1);
    assert!(displaced[0] >= 3, "{displaced:?}");
    scene.after(ARRIVES_WITHIN);
    assert_eq!(scene.enter(12).1, [1]);
}

#[test]
fn the_first_connection_of_a_source_may_arrive() {
    let mut scene = Scene::new(limits(9, 3, 9));
    for id in scene.admit_each([1, 2]) {
        scene.pool.establish(id);
    }
    scene.admit(3);
    assert_eq!(
        scene.enter(4).1,
        [0],
        "3 has had no time to send anything yet"
    );
    scene.after(ARRIVES_WITHIN);
    assert_eq!(scene.enter(5).1, [2], "3 is silent");
}

#[test]
fn the_longest_idle_verified_connection_gives_way_to_another_verified_one_only() {
    let mut scene = Scene::new(limits(2, 1, 1));
    for _ in 0..2 {
        let id = scene.admit(1);
        assert!(scene.pool.verify(id, scene.now).0);
    }
    for _ in 0..50 {
        scene.enter(2);
    }
    assert_eq!(scene.pool.counts().verified, 2);
    let last = Id::try_from(scene.made).unwrap();
    scene.after(Duration::from_millis(1));
    let (is_verified, displaced) = scene.pool.verify(last, scene.now);
    assert!(is_verified);
    assert_eq!(displaced[0].connection.number, 0);
    assert!(displaced[0].is_known && displaced[0].state.is_none());
}

#[test]
fn while_all_verified_connections_are_busy_another_one_stays_unverified() {
    let mut scene = Scene::new(limits(1, 2, 2));
    let first = scene.admit(1);
    scene.pool.verify(first, scene.now);
    scene.pool.members[&first].connection.idle_since.set(None);
    let second = scene.admit(2);
    assert!(!scene.pool.verify(second, scene.now).0);
    assert_eq!(
        scene.pool.counts(),
        Counts {
            handshake: 1,
            unverified: 0,
            verified: 1
        }
    );
    let idle_since = Some(scene.now);
    scene.pool.members[&first]
        .connection
        .idle_since
        .set(idle_since);
    scene.after(Duration::from_millis(1));
    assert!(scene.pool.verify(second, scene.now).0);
}

/// What the model knows of a connection.
#[derive(Clone, Debug)]
struct Facts {
    id: Id,
    source: u32,
    entered: Instant,
    /// It was ever accompanied, or its time to arrive is over.
    is_first: bool,
    began: Option<Instant>,
    answered: Option<Instant>,
    state: State,
    is_verified: bool,
    idle_since: Rc<Cell<Option<Instant>>>,
}

impl Facts {
    fn is_arriving(&self, now: Instant) -> bool {
        self.state == State::Silent && self.is_first && now < self.entered + ARRIVES_WITHIN
    }

    fn is_protected(&self, now: Instant) -> bool {
        let within = |at: Option<Instant>, time| at.is_some_and(|at| now < at + time);
        self.state == State::Handshake
            && within(self.began, FIRST_SECOND)
            && within(self.answered, ANSWERS_WITHIN)
    }

    /// The less, the sooner it gives way.
    fn advancement(&self, now: Instant) -> u8 {
        match self.state {
            State::Silent if self.is_arriving(now) => 3,
            State::Silent | State::Lingering => 0,
            State::Handshake => 1,
            State::Established => 2,
        }
    }
}

#[derive(Default)]
struct Model {
    all: Vec<Facts>,
    known: Vec<(u32, Instant)>,
    /// The sources that were known when they last had a new connection, or a verified request.
    noted: HashSet<u32>,
    most_of_known: usize,
}

impl Model {
    fn is_known(&self, source: u32, now: Instant) -> bool {
        let mut known = self.known.iter();
        known.any(|(known, at)| *known == source && now < *at + KNOWN_FOR)
    }

    fn unverified(&self) -> impl Iterator<Item = &Facts> {
        self.all.iter().filter(|facts| !facts.is_verified)
    }

    fn count_of(&self, source: u32) -> usize {
        self.unverified().filter(|f| f.source == source).count()
    }

    fn victim(&self, of: Option<u32>, now: Instant) -> Option<Id> {
        let mut candidates: Vec<&Facts> = self.unverified().collect();
        candidates.retain(|f| of.is_none_or(|of| f.source == of) && !f.is_protected(now));
        let is_no_stranger = |source: u32| {
            self.noted.contains(&source) && self.count_of(source) <= self.most_of_known
        };
        let key = |f: &&Facts| {
            (
                is_no_stranger(f.source),
                f.advancement(now),
                usize::MAX - self.count_of(f.source),
                f.entered,
                f.id,
            )
        };
        candidates.into_iter().min_by_key(key).map(|f| f.id)
    }

    fn remove(&mut self, id: Id) {
        self.all.retain(|facts| facts.id != id);
    }
}

/// SplitMix64: a seed names a run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// A run of the pool beside the model.
struct Run {
    random: Random,
    pool: Pool<Fake>,
    model: Model,
    limits: PoolLimits,
    now: Instant,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let mut at_most = |n: u64| usize::try_from(1 + random.below(n)).unwrap();
        let limits = limits(at_most(6), at_most(16), at_most(8));
        Self {
            random,
            pool: Pool::new(limits),
            model: Model {
                most_of_known: limits.max_unverified / 4,
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
            let of = (!is_known && self.model.count_of(from) >= own_limit).then_some(from);
            if of.is_none() && self.model.unverified().count() < self.limits.max_unverified {
                break;
            }
            let Some(victim) = self.model.victim(of, self.now) else {
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
            "a stranger displaced a verified connection"
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
        for facts in self.model.all.iter_mut().filter(|f| f.source == source) {
            facts.is_first = false;
        }
        self.model.all.push(Facts {
            id,
            source,
            entered: self.now,
            is_first,
            began: None,
            answered: None,
            state: State::Silent,
            is_verified: false,
            idle_since,
        });
    }

    /// Something happens to a connection.
    fn touch(&mut self, what: u64) {
        let count = u64::try_from(self.model.all.len()).unwrap();
        if count == 0 {
            return;
        }
        let index = usize::try_from(self.random.below(count)).unwrap();
        let (now, facts) = (self.now, &mut self.model.all[index]);
        let id = facts.id;
        let is_open = !facts.is_verified && facts.state != State::Lingering;
        match what {
            5 if is_open => {
                self.pool.progress(id, now);
                if facts.state != State::Established {
                    facts.state = State::Handshake;
                    facts.began.get_or_insert(now);
                    facts.answered = Some(now);
                }
            }
            6 if is_open => {
                self.pool.establish(id);
                facts.state = State::Established;
            }
            7 if !facts.is_verified && facts.state != State::Established => {
                self.pool.linger(id);
                facts.state = State::Lingering;
            }
            8 if facts.state == State::Established => self.verify(index),
            9 => {
                assert!(self.pool.leave(id, now).is_some());
                self.model.remove(id);
            }
            _ => {
                let idle = facts.idle_since.get().is_none().then_some(now);
                facts.idle_since.set(idle);
            }
        }
    }

    fn verify(&mut self, index: usize) {
        let Facts { id, source, .. } = self.model.all[index];
        // The request that was verified is in progress.
        self.model.all[index].idle_since.set(None);
        self.model.known.push((source, self.now));
        self.note(source, true);
        let was_verified = self.model.all[index].is_verified;
        let verified = self.model.all.iter().filter(|facts| facts.is_verified);
        let is_full = !was_verified && verified.clone().count() >= self.limits.max_verified;
        let idle = verified.filter_map(|facts| Some((facts.idle_since.get()?, facts.id)));
        let longest_idle = idle.min().filter(|(since, _)| *since < self.now);
        let (is_verified, displaced) = self.pool.verify(id, self.now);
        assert_eq!(is_verified, !is_full || longest_idle.is_some());
        assert_eq!(displaced.len(), usize::from(is_full && is_verified));
        self.model.all[index].is_verified = is_verified;
        for gone in displaced {
            let since = gone.connection.idle_since().unwrap();
            assert_eq!(Some(since), longest_idle.map(|(since, _)| since));
            let is_it = |f: &Facts| Rc::ptr_eq(&f.idle_since, &gone.connection.idle_since);
            self.model.all.retain(|facts| !is_it(facts));
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

#[test]
fn lower_limits_take_effect_with_the_next_connection() {
    let mut scene = Scene::new(limits(9, 8, 8));
    scene.admit_each([1; 8]);
    scene.pool.set_limits(limits(9, 3, 8));
    assert_eq!(scene.enter(1).1.len(), 6);
    assert_eq!(scene.pool.counts().handshake, 3);
}
