//! The bounded queue between the requests and the owner threads.
//!
//! The queue is *open* while owners of a generation take jobs, *suspended* while the device is being opened again after a fault
//! (jobs wait, in case it takes a moment only), and *closed* while the device is known not to serve.
//!
//! # Invariants
//! - Closing hands the backlog back, to be failed at once.
//! - No job waits behind one that nobody waits for any more: those are given back at the next push.
//! - The lock is held for a push or a pop and nothing else.

use std::sync::{Condvar, Mutex, MutexGuard};

use super::turns::{Turns, Waiting};
use crate::sync::poisoned;

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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    Open(Generation),
    Suspended,
    Closed,
}

/// A queue of about `bound` jobs, whose tenants are served in turn.
pub(super) struct Queue<J> {
    bound: usize,
    inner: Mutex<Inner<J>>,
    changed: Condvar,
}

struct Inner<J> {
    jobs: Turns<J>,
    door: Door,
}

impl<J: Waiting> Queue<J> {
    /// An empty, closed queue.
    pub(super) fn new(bound: usize) -> Self {
        Self {
            bound,
            inner: Mutex::new(Inner {
                jobs: Turns::new(),
                door: Door::Closed,
            }),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<J>> {
        self.inner.lock().unwrap_or_else(poisoned)
    }

    /// Puts a job at the end, or gives it back: when the queue is closed or at its bound, or when `admits` says no to so many jobs
    /// ahead of it.
    pub(super) fn push(
        &self,
        job: J,
        admits: impl FnOnce(usize) -> bool,
    ) -> Result<(), (Refused, J)> {
        let mut inner = self.lock();
        inner.jobs.drop_abandoned(job.tenant());
        if inner.door == Door::Closed {
            return Err((Refused::Closed, job));
        }
        if !self.has_room(&inner.jobs, &job) || !admits(inner.jobs.ahead_of_new(job.tenant())) {
            return Err((Refused::Full, job));
        }
        inner.jobs.push(job);
        drop(inner);
        self.changed.notify_one();
        Ok(())
    }

    /// A full queue still has room for a tenant that has not had its part of it: who floods it floods himself.
    fn has_room(&self, jobs: &Turns<J>, job: &J) -> bool {
        let part = self.bound / jobs.tenants_with(job.tenant()).max(1);
        jobs.len() < self.bound || jobs.len_of(job.tenant()) < part
    }

    /// Puts a job back at the front, or gives it back when the queue is closed.
    pub(super) fn put_back(&self, job: J) -> Result<(), J> {
        let mut inner = self.lock();
        if inner.door == Door::Closed {
            return Err(job);
        }
        inner.jobs.push_front(job);
        drop(inner);
        self.changed.notify_one();
        Ok(())
    }

    /// The next job; blocks until there is one. None when `generation` is over.
    pub(super) fn take(&self, generation: Generation) -> Option<J> {
        let mut inner = self.lock();
        loop {
            if inner.door != Door::Open(generation) {
                return None;
            }
            if let Some(job) = inner.jobs.pop() {
                return Some(job);
            }
            inner = self.changed.wait(inner).unwrap_or_else(poisoned);
        }
    }

    /// Lets the owners of `generation` take jobs, also those that have waited for them.
    pub(super) fn open(&self, generation: Generation) {
        self.lock().door = Door::Open(generation);
        self.changed.notify_all();
    }

    /// Ends `generation`, if it is the one that runs; its jobs go on waiting.
    pub(super) fn suspend(&self, generation: Generation) {
        let mut inner = self.lock();
        if inner.door == Door::Open(generation) {
            inner.door = Door::Suspended;
        }
        drop(inner);
        self.changed.notify_all();
    }

    /// Ends whatever runs; gives back what waited.
    pub(super) fn close(&self) -> Vec<J> {
        let mut inner = self.lock();
        inner.door = Door::Closed;
        let backlog = inner.jobs.drain();
        drop(inner);
        self.changed.notify_all();
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
    use crate::ekm::Tenant;
    use std::sync::{Arc, LazyLock};

    /// Upper-case letters are jobs that nobody waits for; digits are another tenant's.
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

    fn push(queue: &Queue<char>, job: char) -> Result<(), (Refused, char)> {
        queue.push(job, |_| true)
    }

    #[test]
    fn first_in_first_out_within_the_bound() {
        let queue = Queue::new(2);
        queue.open(1);
        assert_eq!(push(&queue, 'a'), Ok(()));
        assert_eq!(push(&queue, 'b'), Ok(()));
        assert_eq!(push(&queue, 'c'), Err((Refused::Full, 'c')));
        assert_eq!(queue.depth(), 2);
        assert_eq!(queue.take(1), Some('a'));
        let refused = queue.push('c', |ahead| ahead < 1);
        assert_eq!(refused, Err((Refused::Full, 'c')), "one is ahead");
        assert_eq!(queue.put_back('a'), Ok(()));
        assert_eq!((queue.take(1), queue.take(1)), (Some('a'), Some('b')));
    }

    #[test]
    fn jobs_that_nobody_waits_for_make_room() {
        let queue = Queue::new(2);
        queue.open(1);
        push(&queue, 'A').unwrap();
        push(&queue, 'B').unwrap();
        assert_eq!(push(&queue, 'c'), Ok(()));
        assert_eq!((queue.depth(), queue.take(1)), (1, Some('c')));
    }

    #[test]
    fn who_floods_the_queue_takes_no_room_from_others() {
        let queue = Queue::new(4);
        queue.open(1);
        for job in ['a', 'b', 'c', 'd'] {
            push(&queue, job).unwrap();
        }
        assert_eq!(push(&queue, 'e'), Err((Refused::Full, 'e')));
        assert_eq!(push(&queue, '1'), Ok(()));
        let refused = queue.push('2', |ahead| ahead < 2);
        assert_eq!(refused, Err((Refused::Full, '2')), "1 and a are ahead");
        let order: Vec<_> = (0..3).filter_map(|_| queue.take(1)).collect();
        assert_eq!(order, ['a', '1', 'b']);
    }

    #[test]
    fn a_suspended_queue_keeps_its_jobs_for_the_next_generation() {
        let queue = Queue::new(2);
        queue.open(1);
        push(&queue, 'a').unwrap();
        queue.suspend(7);
        assert_eq!(queue.take(1), Some('a'), "another generation's end");
        queue.put_back('a').unwrap();
        queue.suspend(1);
        assert_eq!(queue.take(1), None);
        push(&queue, 'b').unwrap();
        queue.open(2);
        assert_eq!(queue.take(1), None, "an owner of an earlier generation");
        assert_eq!((queue.take(2), queue.take(2)), (Some('a'), Some('b')));
    }

    #[test]
    fn a_closed_queue_takes_nothing_and_gives_its_backlog_back() {
        let queue = Queue::new(2);
        assert_eq!(push(&queue, 'a'), Err((Refused::Closed, 'a')));
        assert_eq!(queue.put_back('a'), Err('a'));
        queue.open(1);
        push(&queue, 'a').unwrap();
        assert_eq!(queue.close(), ['a']);
        assert_eq!(queue.take(1), None);
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
        queue.close();
        assert!(
            owners
                .into_iter()
                .all(|owner| owner.join().unwrap().is_none())
        );
    }
}
