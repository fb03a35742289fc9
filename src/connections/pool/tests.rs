//! The order of displacement, with injected time. The other files compare the pool with a naive model.

mod model;
mod run;

use std::cell::Cell;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use super::known::KNOWN_FOR;
use super::unverified::{ARRIVES_WITHIN, FIRST_SECOND, REPLIES_WITHIN};
use super::*;

/// A connection with its time of last use, which is `None` while it has a request.
#[derive(Clone, Debug)]
struct Fake {
    number: usize,
    idle_since: Rc<Cell<Option<Instant>>>,
}

impl PooledConnection for Fake {
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

/// A pool with a clock that the test advances.
struct Scene {
    pool: Pool<Fake>,
    now: Instant,
    created: usize,
}

impl Scene {
    fn new(limits: PoolLimits) -> Self {
        Self {
            pool: Pool::new(limits),
            now: Instant::now(),
            created: 0,
        }
    }

    fn advance(&mut self, time: Duration) {
        self.now += time;
    }

    /// Adds a connection of source `n`, a millisecond later, so that ages differ. Returns its id and the numbers of displaced connections.
    fn enter(&mut self, n: u32) -> (Option<Id>, Vec<usize>) {
        self.advance(Duration::from_millis(1));
        let fake = Fake {
            number: self.created,
            idle_since: Rc::new(Cell::new(Some(self.now))),
        };
        self.created += 1;
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
fn silent_connections_are_displaced_first_then_stalled_handshakes_then_established_ones() {
    let mut scene = Scene::new(limits(9, 4, 9));
    let [established, stalled, _silent, progressing] = scene.admit_each([1; 4]);
    scene.pool.establish(established);
    scene.pool.progress(stalled, scene.now);
    scene.advance(REPLIES_WITHIN);
    scene.pool.progress(progressing, scene.now);
    assert_eq!(scene.enter(1).1, [2], "the silent one");
    scene.pool.establish(5);
    assert_eq!(scene.enter(1).1, [1], "the stalled handshake");
    scene.pool.establish(6);
    assert_eq!(scene.enter(1).1, [0], "the oldest established one");
    assert_eq!(scene.pool.counts().unverified, 2);
    let lingering = 5;
    scene.pool.linger(lingering);
    assert_eq!(scene.enter(1).1, [4], "a failed handshake counts as silent");
}

#[test]
fn the_oldest_connection_of_the_source_with_most_connections_is_displaced() {
    let mut scene = Scene::new(limits(9, 6, 9));
    scene.admit_each([3, 1, 2, 1, 2, 1]);
    assert_eq!(scene.enter(4).1, [1], "the oldest of the three of source 1");
    assert_eq!(
        scene.enter(4).1,
        [2],
        "sources 1 and 2 have two each, and this one is the oldest"
    );
}

#[test]
fn a_source_at_its_limit_displaces_its_own_connections() {
    let mut scene = Scene::new(limits(9, 100, 3));
    scene.admit_each([1, 2, 1, 1]);
    assert_eq!(scene.enter(1).1, [0]);
    assert_eq!(scene.pool.counts().handshake, 4);
    // A verified request makes the source known. Its limit does not apply until the source is unknown again.
    scene.pool.verify(3, scene.now);
    scene.admit_each([1; 5]);
    scene.advance(KNOWN_FOR);
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
        let step = REPLIES_WITHIN - Duration::from_millis(2);
        scene.advance(step);
        waited += step + Duration::from_millis(1);
    }
    scene.pool.progress(id, scene.now);
    assert_eq!(scene.enter(2).1, [0], "after its first second");
}

#[test]
fn a_handshake_that_stalls_is_displaced() {
    let mut scene = Scene::new(limits(9, 1, 1));
    let id = scene.admit(1);
    scene.pool.progress(id, scene.now);
    assert_eq!(scene.enter(2), (None, vec![]));
    scene.advance(REPLIES_WITHIN);
    assert_eq!(scene.enter(2).1, [0]);
}

#[test]
fn connections_of_a_known_source_are_displaced_last_while_they_are_at_most_a_quarter() {
    let mut scene = Scene::new(limits(9, 8, 9));
    let verified = scene.admit(1);
    scene.pool.verify(verified, scene.now);
    scene.admit_each([1, 1]);
    for id in scene.admit_each([2, 2, 3, 3, 4, 4]) {
        scene.pool.establish(id);
    }
    scene.advance(ARRIVES_WITHIN);
    for newcomer in 5..12 {
        let (_, displaced) = scene.enter(newcomer);
        assert!(
            displaced.iter().all(|number| *number >= 3),
            "{displaced:?} has silent connections of the known source"
        );
        scene.advance(ARRIVES_WITHIN);
    }
    // With a third connection of eight, the source is not privileged.
    let (_, displaced) = scene.enter(1);
    assert!(displaced[0] >= 3, "{displaced:?}");
    scene.advance(ARRIVES_WITHIN);
    assert_eq!(scene.enter(12).1, [1]);
}

#[test]
fn the_first_connection_of_a_source_has_time_for_its_first_bytes() {
    let mut scene = Scene::new(limits(9, 3, 9));
    for id in scene.admit_each([1, 2]) {
        scene.pool.establish(id);
    }
    scene.admit(3);
    assert_eq!(
        scene.enter(4).1,
        [0],
        "the first bytes of source 3 may be in transit"
    );
    scene.advance(ARRIVES_WITHIN);
    assert_eq!(scene.enter(5).1, [2], "source 3 is silent");
}

#[test]
fn only_a_verified_connection_displaces_the_verified_one_that_is_idle_longest() {
    let mut scene = Scene::new(limits(2, 1, 1));
    for _ in 0..2 {
        let id = scene.admit(1);
        assert!(scene.pool.verify(id, scene.now).0);
    }
    for _ in 0..50 {
        scene.enter(2);
    }
    assert_eq!(scene.pool.counts().verified, 2);
    let last = Id::try_from(scene.created).unwrap();
    scene.advance(Duration::from_millis(1));
    let (is_verified, displaced) = scene.pool.verify(last, scene.now);
    assert!(is_verified);
    assert_eq!(displaced[0].connection.number, 0);
    assert!(displaced[0].is_known && displaced[0].state.is_none());
}

#[test]
fn a_connection_stays_unverified_while_all_verified_ones_have_requests() {
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
    scene.advance(Duration::from_millis(1));
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

fn unidentified(n: u64) -> Source {
    Source::unidentified(IpAddr::from([10, 20, 0, 7]), n)
}

impl Scene {
    /// Adds a connection from the load balancer whose header has not arrived.
    fn enter_unidentified(&mut self) -> (Option<Id>, Vec<usize>) {
        self.advance(Duration::from_millis(1));
        let fake = Fake {
            number: self.created,
            idle_since: Rc::new(Cell::new(Some(self.now))),
        };
        self.created += 1;
        let number = u64::try_from(self.created).unwrap();
        let admission = self.pool.enter(fake, unidentified(number), false, self.now);
        let displaced = admission.displaced.iter();
        let numbers = displaced.map(|displaced| displaced.connection.number);
        (admission.id, numbers.collect())
    }

    fn identify(&mut self, id: Id, n: u32) -> (bool, Vec<usize>) {
        let admission = self.pool.identify(id, source(n), false, self.now);
        let displaced = admission.displaced.iter();
        let numbers = displaced.map(|displaced| displaced.connection.number);
        (admission.id.is_some(), numbers.collect())
    }
}

#[test]
fn slow_clients_behind_the_balancer_do_not_use_up_the_limit_of_others() {
    let mut scene = Scene::new(limits(9, 8, 2));
    // All of them have the balancer's address, but no limit per source applies.
    let slow: Vec<_> = (0..7).map(|_| scene.enter_unidentified()).collect();
    assert!(
        slow.iter()
            .all(|(id, displaced)| id.is_some() && displaced.is_empty())
    );
    scene.advance(ARRIVES_WITHIN);
    let (ours, displaced) = scene.enter_unidentified();
    assert!(displaced.is_empty());
    // The flood continues: the oldest connections are displaced, not the newest one.
    for oldest in 0..3 {
        assert_eq!(scene.enter_unidentified().1, [oldest]);
    }
    assert_eq!(scene.identify(ours.unwrap(), 1), (true, vec![]));
    scene.pool.progress(ours.unwrap(), scene.now);
    for _ in 0..20 {
        assert!(scene.enter_unidentified().0.is_some());
    }
    assert!(
        scene.pool.members.contains_key(&ours.unwrap()),
        "its handshake progresses"
    );
    assert_eq!(scene.pool.counts().handshake, 8);
}

#[test]
fn the_limit_of_the_source_applies_when_the_header_has_arrived() {
    let mut scene = Scene::new(limits(9, 8, 2));
    let ids: Vec<Id> = (0..4)
        .map(|_| scene.enter_unidentified().0.unwrap())
        .collect();
    assert_eq!(scene.identify(ids[0], 1), (true, vec![]));
    assert_eq!(scene.identify(ids[1], 1), (true, vec![]));
    assert_eq!(
        scene.identify(ids[2], 1),
        (true, vec![0]),
        "the oldest connection of the source"
    );
    scene.pool.progress(ids[1], scene.now);
    scene.pool.progress(ids[2], scene.now);
    assert_eq!(scene.identify(ids[3], 1), (false, vec![]), "both progress");
    assert_eq!(
        scene.pool.members.len(),
        2,
        "the rejected connection was removed"
    );
    assert_eq!(scene.pool.leave(ids[3], scene.now), None);
    assert_eq!(scene.pool.counts().handshake, 2);
    // Another source has its own limit. A known source has none.
    let other = scene.enter_unidentified().0.unwrap();
    assert_eq!(scene.identify(other, 2), (true, vec![]));
    scene.pool.verify(ids[1], scene.now);
    for _ in 0..3 {
        let id = scene.enter_unidentified().0.unwrap();
        assert_eq!(scene.identify(id, 1), (true, vec![]));
    }
}

#[test]
fn an_exempt_source_has_no_limit_and_a_closed_connection_stays_closed() {
    let mut scene = Scene::new(limits(9, 8, 1));
    for _ in 0..3 {
        let id = scene.enter_unidentified().0.unwrap();
        let admission = scene.pool.identify(id, source(1), true, scene.now);
        assert!(admission.is_known && admission.id.is_some() && admission.displaced.is_empty());
    }
    let id = scene.enter_unidentified().0.unwrap();
    scene.pool.leave(id, scene.now);
    assert_eq!(scene.identify(id, 2), (false, vec![]));
    assert_eq!(scene.pool.members.len(), 3);
}
