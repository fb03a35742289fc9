//! The waiting jobs and the sessions of an HSM. The assignment of jobs to sessions is decided under one lock.
//!
//! The pool is *open* while a worker serves, *suspended* while a new worker is started after a failure (jobs wait), and *closed* while the
//! HSM does not serve.
//!
//! # Invariants
//! - In an open pool, a job waits only while each session has the maximum number of jobs.
//! - Closing returns the waiting jobs, so that the caller fails them at once.
//! - Abandoned jobs at the front of a tenant's queue are dropped at its next push.
//! - Under the lock, only `admits` takes another lock (`LoadEstimate::slots`), and nothing is sent.

use std::collections::HashMap;
use std::sync::{Arc, MutexGuard};

use crate::ekm::Tenant;
use crate::hsm::queue::fair_queue::{FairQueue, Waiting};
use crate::sync::Lock;

/// Why a job was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::hsm) enum QueueError {
    /// The queue is full, or the job could not be done in time.
    Full,
    /// No worker serves.
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gate {
    Open,
    Suspended,
    Closed,
}

/// A worker session, as the pool sees it.
pub(in crate::hsm) trait Lane {
    /// Its id, unique within the pool.
    fn id(&self) -> u64;
}

/// A pool of at most about `bound` waiting jobs `J`, and any number of lanes `L`.
pub(in crate::hsm) struct Pool<J, L> {
    bound: usize,
    inner: Lock<Inner<J, L>>,
}

struct Inner<J, L> {
    jobs: FairQueue<J>,
    gate: Gate,
    lanes: HashMap<u64, Occupied<L>>,
    /// Lanes without a job. The last one was used most recently, and is taken first because its caches are warm. Some may be removed
    /// already.
    idle: Vec<u64>,
}

struct Occupied<L> {
    lane: Arc<L>,
    in_flight: usize,
}

/// A job and the lane that must do it.
pub(in crate::hsm) type Assigned<J, L> = (Arc<L>, J);

impl<J: Waiting, L: Lane> Pool<J, L> {
    /// An empty, closed pool.
    pub(in crate::hsm) fn new(bound: usize) -> Self {
        Self {
            bound,
            inner: Lock::new(Inner {
                jobs: FairQueue::new(),
                gate: Gate::Closed,
                lanes: HashMap::new(),
                idle: Vec::new(),
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<J, L>> {
        self.inner.lock()
    }

    /// Assigns a job to a lane with less than `depth` jobs, or queues it. Returns the job if the pool is closed or full, or if `admits` returns
    /// false for the number of jobs ahead of it.
    pub(in crate::hsm) fn push(
        &self,
        job: J,
        depth: usize,
        admits: impl FnOnce(usize) -> bool,
    ) -> Result<Option<Assigned<J, L>>, (QueueError, J)> {
        let mut inner = self.lock();
        inner.jobs.drop_abandoned(job.tenant());
        if inner.gate == Gate::Closed {
            return Err((QueueError::Closed, job));
        }
        if inner.jobs.len() == 0
            && let Some(lane) = inner.free_lane(depth)
        {
            return Ok(Some((lane, job)));
        }
        if !self.accepts(&inner.jobs, job.tenant())
            || !admits(inner.jobs.ahead_of_new(job.tenant()))
        {
            return Err((QueueError::Full, job));
        }
        inner.jobs.push(job);
        Ok(None)
    }

    /// Returns whether the queue accepts a job of this tenant. A full queue still accepts jobs of tenants that use less than their part of it.
    fn accepts(&self, jobs: &FairQueue<J>, tenant: &Tenant) -> bool {
        let part = self.bound / jobs.tenants_with(tenant).max(1);
        jobs.len() < self.bound || jobs.len_of(tenant) < part
    }

    /// Assigns a job, or queues it before all others. Returns the job if the pool is closed.
    pub(in crate::hsm) fn put_back(&self, job: J) -> Result<Option<Assigned<J, L>>, J> {
        let mut inner = self.lock();
        match inner.gate {
            Gate::Closed => Err(job),
            Gate::Open | Gate::Suspended => match inner.free_lane(1) {
                Some(lane) => Ok(Some((lane, job))),
                None => {
                    inner.jobs.push_front(job);
                    Ok(None)
                }
            },
        }
    }

    /// Notes that a lane has done one of its jobs. Returns the next job for it.
    pub(in crate::hsm) fn next(&self, lane: &L) -> Option<J> {
        let mut inner = self.lock();
        let id = lane.id();
        let lane_state = inner.lanes.get_mut(&id)?;
        lane_state.in_flight = lane_state.in_flight.saturating_sub(1);
        let next = inner.take_job(id);
        if next.is_none() && inner.lanes.get(&id).is_some_and(|lane| lane.in_flight == 0) {
            inner.idle.push(id);
        }
        next
    }

    /// Adds a lane. Returns the first job for it, if one waits.
    pub(in crate::hsm) fn add(&self, lane: Arc<L>) -> Option<J> {
        let mut inner = self.lock();
        let id = lane.id();
        if inner.lanes.contains_key(&id) {
            return None;
        }
        inner.lanes.insert(id, Occupied { lane, in_flight: 0 });
        let first = inner.take_job(id);
        if first.is_none() {
            inner.idle.push(id);
        }
        first
    }

    /// Removes a lane. The caller handles its jobs.
    pub(in crate::hsm) fn remove(&self, lane: &L) {
        self.lock().lanes.remove(&lane.id());
    }

    /// Removes all lanes.
    pub(in crate::hsm) fn remove_all(&self) {
        let mut inner = self.lock();
        inner.lanes.clear();
        inner.idle.clear();
    }

    /// Opens the pool. Lanes also get jobs that have waited.
    pub(in crate::hsm) fn open(&self) {
        self.lock().gate = Gate::Open;
    }

    /// Removes all lanes; jobs wait. A closed pool stays closed.
    pub(in crate::hsm) fn suspend(&self) {
        let mut inner = self.lock();
        inner.lanes.clear();
        inner.idle.clear();
        if inner.gate == Gate::Open {
            inner.gate = Gate::Suspended;
        }
    }

    /// Closes the pool and removes all lanes. Returns the waiting jobs.
    pub(in crate::hsm) fn close(&self) -> Vec<J> {
        let mut inner = self.lock();
        inner.gate = Gate::Closed;
        inner.lanes.clear();
        inner.idle.clear();
        inner.jobs.drain()
    }

    /// The number of waiting jobs.
    pub(in crate::hsm) fn depth(&self) -> usize {
        self.lock().jobs.len()
    }
}

impl<J: Waiting, L: Lane> Inner<J, L> {
    /// Finds a lane for one more job, and counts the job: an idle lane, or the least busy one with less than `depth` jobs.
    fn free_lane(&mut self, depth: usize) -> Option<Arc<L>> {
        if self.gate != Gate::Open {
            return None;
        }
        while let Some(id) = self.idle.pop() {
            if let Some(lane) = self.lanes.get_mut(&id)
                && lane.in_flight == 0
            {
                lane.in_flight = 1;
                return Some(Arc::clone(&lane.lane));
            }
        }
        if depth <= 1 {
            return None;
        }
        let least = self.lanes.values_mut().min_by_key(|lane| lane.in_flight)?;
        if least.in_flight >= depth {
            return None;
        }
        least.in_flight += 1;
        Some(Arc::clone(&least.lane))
    }

    fn take_job(&mut self, id: u64) -> Option<J> {
        if self.gate != Gate::Open {
            return None;
        }
        loop {
            let job = self.jobs.pop()?;
            if job.is_abandoned() {
                continue;
            }
            if let Some(lane) = self.lanes.get_mut(&id) {
                lane.in_flight += 1;
            }
            return Some(job);
        }
    }
}

#[cfg(test)]
mod tests;
