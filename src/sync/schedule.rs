//! Runs threads one at a time, in an order that a seed determines.
//!
//! The scheduler can switch threads when a thread locks a [`super::Lock`], and when it calls [`point`]. The code between two such points is one
//! step. A test that runs its threads with many seeds tries many orders of their steps, and a failing order can be repeated.
//!
//! `shuttle` and `loom` are not used: they replace the locks and channels of the tested code by their own, which work only in their runtime. They
//! cannot replace tokio's channels, `arc-swap` and sockets, and the other tests of the crate would need a second build.

use std::cell::RefCell;
use std::sync::{Arc, Condvar, Mutex, PoisonError, TryLockError};
use std::thread;

/// The most steps of a test. Tests have a few hundred steps; with more, a thread waits and nothing wakes it.
const MAX_STEPS: u64 = 200_000;

/// The code of one thread.
pub(crate) type Body<'a> = Box<dyn FnOnce() + Send + 'a>;

struct Turns {
    state: Mutex<State>,
    /// One condition variable for each thread.
    turns: Vec<Condvar>,
}

struct State {
    random: u64,
    steps: u64,
    /// The number of the thread that may run.
    current: usize,
    running: Vec<usize>,
    has_failed: bool,
}

thread_local! {
    static OWN: RefCell<Option<(Arc<Turns>, usize)>> = const { RefCell::new(None) };
}

/// Runs these threads to their ends, in the order of the seed. Panics if one of them panics.
pub(crate) fn run(seed: u64, bodies: Vec<Body<'_>>) {
    let turns = Arc::new(Turns {
        state: Mutex::new(State {
            random: seed,
            steps: 0,
            current: 0,
            running: (0..bodies.len()).collect(),
            has_failed: false,
        }),
        turns: bodies.iter().map(|_| Condvar::new()).collect(),
    });
    thread::scope(|scope| {
        for (number, body) in bodies.into_iter().enumerate() {
            let turns = Arc::clone(&turns);
            scope.spawn(move || {
                let _ended = Ended(&turns, number);
                OWN.set(Some((Arc::clone(&turns), number)));
                turns.wait_for(number);
                body();
            });
        }
    });
}

/// Ends a step: the scheduler may switch to another thread. Has no effect outside of [`run`].
pub(crate) fn point() {
    let own = OWN.with_borrow(Clone::clone);
    if let Some((turns, number)) = own {
        turns.pass_on(number);
    }
}

/// Runs other threads until the lock is free. It stays free, because only the current thread runs.
pub(super) fn until_free<T>(lock: &Mutex<T>) {
    if OWN.with_borrow(Option::is_none) {
        return;
    }
    point();
    while matches!(lock.try_lock(), Err(TryLockError::WouldBlock)) {
        point();
    }
}

/// Switches to another thread when this thread ends, also by a panic.
struct Ended<'a>(&'a Turns, usize);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.running.retain(|other| *other != self.1);
        state.has_failed |= thread::panicking();
        state.choose();
        self.0.wake(&state);
    }
}

impl Turns {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self, state: &State) {
        match state.has_failed {
            true => self.turns.iter().for_each(Condvar::notify_one),
            false => self.turns[state.current].notify_one(),
        }
    }

    fn pass_on(&self, number: usize) {
        let mut state = self.lock();
        state.steps += 1;
        if state.steps > MAX_STEPS && !thread::panicking() {
            drop(state);
            panic!("the threads do not end: one of them waits forever");
        }
        state.choose();
        if state.current == number && !state.has_failed {
            return;
        }
        self.wake(&state);
        drop(state);
        self.wait_for(number);
    }

    fn wait_for(&self, number: usize) {
        let is_other = |state: &mut State| state.current != number && !state.has_failed;
        let state = self.turns[number].wait_while(self.lock(), is_other);
        let state = state.unwrap_or_else(PoisonError::into_inner);
        let has_failed = state.has_failed;
        drop(state);
        if has_failed && !thread::panicking() {
            panic!("another thread has failed");
        }
    }
}

impl State {
    fn choose(&mut self) {
        // SplitMix64.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let count = u64::try_from(self.running.len()).unwrap_or(1).max(1);
        let at = usize::try_from((z ^ (z >> 31)) % count).unwrap_or_default();
        if let Some(next) = self.running.get(at) {
            self.current = *next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Lock;
    use super::*;

    /// Runs two threads that increment a counter in two steps. Returns whether the order lost an update.
    fn lost_update(seed: u64) -> bool {
        let count = Lock::new(0);
        let add = || {
            let read = *count.lock();
            *count.lock() = read + 1;
        };
        run(seed, vec![Box::new(add), Box::new(add)]);
        *count.lock() == 1
    }

    #[test]
    fn a_seed_determines_the_order() {
        let lost: Vec<bool> = (0..100).map(lost_update).collect();
        assert!(lost.contains(&true) && lost.contains(&false));
        let again: Vec<bool> = (0..100).map(lost_update).collect();
        assert_eq!(again, lost);
    }

    #[test]
    fn a_thread_that_waits_for_a_lock_does_not_stop_the_others() {
        for seed in 0..200 {
            let (lock, done) = (Lock::new(()), Mutex::new(0));
            let hold = || {
                let held = lock.lock();
                point();
                *done.lock().unwrap() += 1;
                drop(held);
            };
            run(seed, vec![Box::new(hold), Box::new(hold), Box::new(hold)]);
            assert_eq!(*done.lock().unwrap(), 3);
        }
    }

    #[test]
    fn threads_that_do_not_end_and_threads_that_panic_fail() {
        let bodies: [fn(); 2] = [
            || loop {
                point()
            },
            || panic!("of a thread"),
        ];
        for body in bodies {
            let failed = std::panic::catch_unwind(|| run(1, vec![Box::new(body), Box::new(point)]));
            assert!(failed.is_err());
        }
    }
}
