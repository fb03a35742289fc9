//! In no order of events is a job lost or done twice, or does a job wait while a session is idle.

use std::sync::{Arc, LazyLock};

use super::*;

/// Upper-case letters are abandoned jobs. Digits are jobs of a second tenant.
impl Waiting for char {
    fn tenant(&self) -> &Arc<Tenant> {
        static TENANTS: LazyLock<[Arc<Tenant>; 2]> = LazyLock::new(|| {
            ["letters", "digits"].map(|name| {
                let name = name.into();
                Arc::new(Tenant { name, share: 1 })
            })
        });
        &TENANTS[usize::from(self.is_ascii_digit())]
    }

    fn is_abandoned(&self) -> bool {
        self.is_uppercase()
    }
}

struct Numbered(u64);

impl Lane for Numbered {
    fn id(&self) -> u64 {
        self.0
    }
}

type TestPool = Pool<char, Numbered>;

fn open(bound: usize, lanes: u64) -> (TestPool, Vec<Arc<Numbered>>) {
    let pool = Pool::new(bound);
    pool.open();
    let lanes: Vec<_> = (0..lanes).map(|id| Arc::new(Numbered(id))).collect();
    for lane in &lanes {
        assert_eq!(pool.add(Arc::clone(lane)), None);
    }
    (pool, lanes)
}

/// Returns the lane that got the job; `None` if the job waits.
fn push(pool: &TestPool, job: char, depth: usize) -> Result<Option<u64>, QueueError> {
    match pool.push(job, depth, |_| true) {
        Ok(assigned) => Ok(assigned.map(|(lane, assigned)| {
            assert_eq!(assigned, job);
            lane.0
        })),
        Err((refused, given_back)) => {
            assert_eq!(given_back, job);
            Err(refused)
        }
    }
}

#[test]
fn the_lane_that_was_used_last_gets_the_next_job_and_jobs_wait_when_all_are_busy() {
    let (pool, lanes) = open(2, 2);
    assert_eq!(push(&pool, 'a', 1), Ok(Some(1)));
    assert_eq!(push(&pool, 'b', 1), Ok(Some(0)));
    assert_eq!(push(&pool, 'c', 1), Ok(None));
    assert_eq!(push(&pool, 'd', 1), Ok(None));
    assert_eq!(push(&pool, 'e', 1), Err(QueueError::Full));
    assert_eq!(pool.next(&lanes[0]), Some('c'));
    assert_eq!(pool.next(&lanes[1]), Some('d'));
    assert_eq!((pool.next(&lanes[1]), pool.next(&lanes[0])), (None, None));
    assert_eq!(push(&pool, 'f', 1), Ok(Some(0)));
}

#[test]
fn a_fast_hsm_gets_several_jobs_for_each_session_before_any_waits() {
    let (pool, lanes) = open(9, 2);
    let got: Vec<_> = "abcdef".chars().map(|job| push(&pool, job, 3)).collect();
    let jobs_of = |lane: u64| got.iter().filter(|got| **got == Ok(Some(lane))).count();
    assert_eq!((jobs_of(0), jobs_of(1)), (3, 3));
    assert_eq!(push(&pool, 'g', 3), Ok(None));
    assert_eq!(pool.next(&lanes[0]), Some('g'));
    assert_eq!(pool.next(&lanes[0]), None);
    assert_eq!(push(&pool, 'h', 3), Ok(Some(0)));
}

#[test]
fn abandoned_jobs_free_slots_and_are_not_done() {
    let (pool, lanes) = open(2, 1);
    assert_eq!(push(&pool, 'a', 1), Ok(Some(0)));
    assert_eq!(push(&pool, 'B', 1), Ok(None));
    assert_eq!(push(&pool, 'C', 1), Ok(None));
    assert_eq!(push(&pool, 'd', 1), Ok(None));
    assert_eq!((pool.depth(), pool.next(&lanes[0])), (1, Some('d')));
}

#[test]
fn a_tenant_that_floods_the_queue_takes_no_slots_from_others() {
    let (pool, lanes) = open(4, 1);
    assert_eq!(push(&pool, 'a', 1), Ok(Some(0)));
    for job in ['b', 'c', 'd', 'e'] {
        assert_eq!(push(&pool, job, 1), Ok(None));
    }
    assert_eq!(push(&pool, 'f', 1), Err(QueueError::Full));
    assert_eq!(push(&pool, '1', 1), Ok(None));
    let rejected = pool.push('2', 1, |ahead| ahead < 2).err();
    assert_eq!(
        rejected.map(|(why, _)| why),
        Some(QueueError::Full),
        "1 and b are ahead"
    );
    let order: Vec<_> = (0..3).filter_map(|_| pool.next(&lanes[0])).collect();
    assert_eq!(order, ['b', '1', 'c']);
}

#[test]
fn a_suspended_pool_keeps_its_jobs_for_the_next_worker() {
    let (pool, lanes) = open(3, 1);
    assert_eq!(push(&pool, 'a', 1), Ok(Some(0)));
    assert_eq!(push(&pool, 'b', 1), Ok(None));
    pool.suspend();
    assert_eq!(pool.next(&lanes[0]), None, "a session of the former worker");
    assert!(pool.put_back('a').is_ok_and(|assigned| assigned.is_none()));
    assert_eq!(push(&pool, 'c', 1), Ok(None));
    pool.open();
    let later = [7, 8, 9].map(|id| Arc::new(Numbered(id)));
    let firsts: Vec<_> = later
        .iter()
        .map(|lane| pool.add(Arc::clone(lane)))
        .collect();
    assert_eq!(firsts, [Some('a'), Some('b'), Some('c')]);
}

#[test]
fn a_closed_pool_accepts_no_job_and_returns_the_waiting_ones() {
    let (pool, lanes) = open(2, 1);
    push(&pool, 'a', 1).unwrap();
    push(&pool, 'b', 1).unwrap();
    assert_eq!(pool.close(), ['b']);
    assert_eq!(push(&pool, 'c', 1), Err(QueueError::Closed));
    assert_eq!(pool.put_back('a').err(), Some('a'));
    assert_eq!(pool.next(&lanes[0]), None);
    pool.suspend();
    assert_eq!(
        push(&pool, 'c', 1),
        Err(QueueError::Closed),
        "it stays closed"
    );
}

#[test]
fn a_removed_lane_gets_no_job() {
    let (pool, lanes) = open(4, 2);
    pool.remove(&lanes[1]);
    assert_eq!(push(&pool, 'a', 1), Ok(Some(0)));
    assert_eq!(push(&pool, 'b', 1), Ok(None));
    assert_eq!(pool.next(&lanes[1]), None);
    assert_eq!(pool.next(&lanes[0]), Some('b'));
}

/// Random steps. No job is lost or done twice, no lane has more than two jobs, and no job waits while a lane has less than two.
#[test]
fn no_order_of_events_loses_a_job() {
    for seed in 0..300_u64 {
        let (pool, lanes) = open(1_000, 3);
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut random = |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        let mut in_flight = [0_usize; 3];
        let (mut pushed, mut done) = (0, 0);
        for _ in 0..400 {
            match random(2) {
                0 => {
                    pushed += 1;
                    if let Some(lane) = push(&pool, 'a', 2).unwrap() {
                        in_flight[usize::try_from(lane).unwrap()] += 1;
                    }
                }
                _ => {
                    let lane = usize::try_from(random(3)).unwrap();
                    if in_flight[lane] > 0 {
                        done += 1;
                        in_flight[lane] -= 1;
                        in_flight[lane] += usize::from(pool.next(&lanes[lane]).is_some());
                    }
                }
            }
            let working: usize = in_flight.iter().sum();
            assert_eq!(pushed, done + working + pool.depth(), "seed {seed}");
            assert!(in_flight.iter().all(|jobs| *jobs <= 2), "seed {seed}");
            assert!(
                pool.depth() == 0 || in_flight.iter().all(|jobs| *jobs == 2),
                "seed {seed}"
            );
        }
    }
}
