//! The pool with injected time: which connection gives way. The other files compare it with a naive model.

mod model;
mod run;

use std::cell::Cell;
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

#[test]
fn lower_limits_take_effect_with_the_next_connection() {
    let mut scene = Scene::new(limits(9, 8, 8));
    scene.admit_each([1; 8]);
    scene.pool.set_limits(limits(9, 3, 8));
    assert_eq!(scene.enter(1).1.len(), 6);
    assert_eq!(scene.pool.counts().handshake, 3);
}
