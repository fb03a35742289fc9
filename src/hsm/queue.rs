//! The bounded queue between the requests and the owner threads.
//!
//! # Invariants
//! - A job is in the queue for a running generation only: closing a generation hands its backlog back to be failed at once.
//! - The lock is held for a push or a pop and nothing else.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Which opening of the device: owners of an earlier one take no more jobs.
pub(super) type Generation = u64;

/// Why a job was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The queue holds all it may.
    Full,
    /// No owner works at the moment.
    Closed,
}

/// A first-in, first-out queue of at most `bound` jobs.
pub(super) struct Queue<J> {
    bound: usize,
    inner: Mutex<Inner<J>>,
    filled: Condvar,
}

struct Inner<J> {
    jobs: VecDeque<J>,
    /// The generation whose owners may take jobs; none while the device is not open.
    open: Option<Generation>,
}

impl<J> Queue<J> {
    pub(super) fn new(bound: usize) -> Self {
        Self {
            bound,
            inner: Mutex::new(Inner {
                jobs: VecDeque::new(),
                open: None,
            }),
            filled: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<J>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a job at the end, or gives it back: when the queue is closed or at its bound, or when `admits` says no to so many jobs
    /// ahead of it.
    pub(super) fn push(
        &self,
        job: J,
        admits: impl FnOnce(usize) -> bool,
    ) -> Result<(), (Refused, J)> {
        let mut inner = self.lock();
        if inner.open.is_none() {
            return Err((Refused::Closed, job));
        }
        if inner.jobs.len() >= self.bound || !admits(inner.jobs.len()) {
            return Err((Refused::Full, job));
        }
        inner.jobs.push_back(job);
        drop(inner);
        self.filled.notify_one();
        Ok(())
    }

    /// The next job; blocks until there is one. None when `generation` is over.
    pub(super) fn take(&self, generation: Generation) -> Option<J> {
        let mut inner = self.lock();
        loop {
            if inner.open != Some(generation) {
                return None;
            }
            if let Some(job) = inner.jobs.pop_front() {
                return Some(job);
            }
            inner = self
                .filled
                .wait(inner)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets the owners of `generation` take jobs.
    pub(super) fn open(&self, generation: Generation) {
        self.lock().open = Some(generation);
    }

    /// Ends `generation`, if it is the one that runs; gives back what waited.
    pub(super) fn close(&self, generation: Generation) -> Vec<J> {
        let mut inner = self.lock();
        if inner.open != Some(generation) {
            return Vec::new();
        }
        inner.open = None;
        let backlog = inner.jobs.drain(..).collect();
        drop(inner);
        self.filled.notify_all();
        backlog
    }

    /// How many jobs wait.
    pub(super) fn depth(&self) -> usize {
        self.lock().jobs.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn first_in_first_out_within_the_bound() {
        let queue = Queue::new(2);
        queue.open(1);
        assert_eq!(queue.push('a', |_| true), Ok(()));
        assert_eq!(queue.push('b', |_| true), Ok(()));
        assert_eq!(queue.push('c', |_| true), Err((Refused::Full, 'c')));
        assert_eq!(queue.depth(), 2);
        assert_eq!(queue.take(1), Some('a'));
        assert_eq!(
            queue.push('c', |ahead| ahead < 1),
            Err((Refused::Full, 'c')),
            "one is ahead"
        );
        queue.push('a', |ahead| ahead < 2).unwrap();
        assert_eq!((queue.take(1), queue.take(1)), (Some('b'), Some('a')));
    }

    #[test]
    fn a_closed_queue_takes_nothing_and_gives_its_backlog_back() {
        let queue = Queue::new(2);
        assert_eq!(queue.push('a', |_| true), Err((Refused::Closed, 'a')));
        queue.open(1);
        queue.push('a', |_| true).unwrap();
        assert_eq!(queue.close(7), [], "another generation");
        assert_eq!(queue.close(1), ['a']);
        assert_eq!(queue.take(1), None);
        queue.open(2);
        queue.push('b', |_| true).unwrap();
        assert_eq!(queue.take(1), None, "an owner of an earlier generation");
        assert_eq!(queue.take(2), Some('b'));
    }

    #[test]
    fn closing_wakes_every_waiting_owner() {
        let queue = Arc::new(Queue::<char>::new(2));
        queue.open(1);
        let owners: Vec<_> = (0..4)
            .map(|_| {
                let queue = Arc::clone(&queue);
                std::thread::spawn(move || queue.take(1))
            })
            .collect();
        queue.close(1);
        assert!(
            owners
                .into_iter()
                .all(|owner| owner.join().unwrap().is_none())
        );
    }
}
