//! Accepts or rejects jobs, and handles their outcomes.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use crate::ekm::{KeyManagerError, KeyManagerFault};
use crate::hsm::metrics::DeviceMetrics;
use crate::hsm::queue::job::{Job, Work};
use crate::hsm::queue::load_estimate::LoadEstimate;
use crate::hsm::queue::pool::{Assigned, QueueError};
use crate::hsm::state::HsmState;
use crate::hsm::worker::session::{JobQueue, Session};
use crate::hsm_protocol::{Failed, MAX_BATCH, Outcome};

/// The fraction of the remaining time that is kept as a reserve when a job is accepted: 1 / 8.
const MARGIN: u32 = 8;

/// An HSM with a mean service time below this, in nanoseconds, gets several jobs per session, so that not each job waits for a wake-up.
const FAST: u64 = 200_000;

/// How many jobs a session of a fast HSM may have: while the front handles the answers of one packet, the worker does the next one. A slow
/// HSM gets one job at a time: what was sent cannot be withdrawn.
const DEPTH: usize = 2 * MAX_BATCH;

impl HsmState {
    /// Sends or queues a job, or fails it at once. A job that probably cannot be done before its deadline is rejected at once: its late answer
    /// would be useless and would delay other jobs.
    pub(in crate::hsm) fn submit(&self, work: Work) {
        let (operation, key) = work.subject();
        if let Some(failed) = self.rejected_keys.of(operation, key) {
            self.count_rejection(&failed);
            return work.fail(self.error(failed.fault, failed.detail));
        }
        let remaining = work.deadline().remaining();
        if remaining.is_zero() {
            let fault = KeyManagerFault::DeadlinePassed;
            return work.fail(self.error(fault, "its deadline had passed before it was sent"));
        }
        // Some calls take longer than the mean.
        let budget = remaining - remaining / MARGIN;
        // A job without jobs ahead of it is always accepted, so that a too long mean can recover.
        let in_time = |ahead: usize| ahead == 0 || self.load.expected_wait(ahead) < budget;
        match self.pool.push(Job::new(work), self.depth(), in_time) {
            Ok(assigned) => self.send(assigned),
            Err((reason, job)) => job.work.fail(self.queue_error(reason)),
        }
    }

    fn send(&self, assigned: Option<Assigned<Job, Session>>) {
        if let Some((session, job)) = assigned {
            session.send(self, job);
        }
    }

    fn depth(&self) -> usize {
        match self.load.mean() {
            1..FAST => DEPTH,
            _ => 1,
        }
    }

    /// Queues a job again. Fails it with `error` if it was sent twice, or if the pool is closed.
    fn retry_or_fail(&self, mut job: Job, error: KeyManagerError) {
        if std::mem::replace(&mut job.is_repetition, true) {
            return job.work.fail(error);
        }
        match self.pool.put_back(job) {
            Ok(assigned) => self.send(assigned),
            Err(job) => job.work.fail(error),
        }
    }

    fn fail(&self, worker: u32, job: Job, failed: Failed) {
        self.count_rejection(&failed);
        let (operation, key) = job.work.subject();
        self.rejected_keys.learn(operation, key, &failed);
        let error = self.error(failed.fault, failed.detail.clone());
        if !failed.is_fatal {
            return job.work.fail(error);
        }
        self.suspend(worker, &failed.detail);
        self.event_sender().fatal(worker, failed.detail);
        self.retry_or_fail(job, error);
    }

    fn count_rejection(&self, failed: &Failed) {
        if let Some(code) = &failed.rejected_with {
            self.metrics.count_key_failure(code);
        }
    }

    /// An error of this HSM.
    pub(in crate::hsm) fn error(
        &self,
        fault: KeyManagerFault,
        detail: impl Into<Cow<'static, str>>,
    ) -> KeyManagerError {
        KeyManagerError::new(fault, &self.name, detail)
    }

    /// The error of a job that the pool did not accept.
    pub(in crate::hsm) fn queue_error(&self, reason: QueueError) -> KeyManagerError {
        match reason {
            QueueError::Full => {
                self.error(KeyManagerFault::QueueFull, "it could not be done in time")
            }
            QueueError::Closed => {
                self.error(KeyManagerFault::DeviceUnavailable, self.last_check.reason())
            }
        }
    }
}

impl JobQueue for HsmState {
    fn verifies_encryptions(&self) -> bool {
        self.settings.load().verify_encryptions
    }

    fn load(&self) -> &LoadEstimate {
        &self.load
    }

    fn metrics(&self) -> &DeviceMetrics {
        &self.metrics
    }

    fn add(&self, session: &Arc<Session>) {
        let transition = self.transition();
        let serves = self
            .serving()
            .is_some_and(|view| view.number == session.worker);
        let first = match serves {
            true => self.pool.add(Arc::clone(session)),
            false => None,
        };
        drop(transition);
        if let Some(job) = first {
            session.send(self, job);
        }
    }

    fn remove(&self, session: &Session) {
        self.pool.remove(session);
    }

    fn next(&self, session: &Session) -> Option<Job> {
        self.pool.next(session)
    }

    fn worker_ends(&self, worker: u32) {
        self.suspend(worker, "its worker ended");
    }

    fn requeue_unsent(&self, session: &Session, mut job: Job) {
        self.pool.remove(session);
        job.revert_count();
        match self.pool.put_back(job) {
            Ok(assigned) => self.send(assigned),
            Err(job) => job.work.fail(self.queue_error(QueueError::Closed)),
        }
    }

    fn retry(&self, job: Job) {
        let error = self.error(KeyManagerFault::DeviceFailed, "its worker ended");
        self.retry_or_fail(job, error);
    }

    fn handle_outcome(
        &self,
        worker: u32,
        job: Job,
        worked: Duration,
        outcome: Outcome,
    ) -> Result<(), &'static str> {
        self.metrics.queue.observe(job.queued().as_secs_f64());
        if !job.fits(&outcome) {
            // First suspends, so that the job is not sent to the same worker again.
            self.suspend(worker, "its worker violated the protocol");
            let error = self.error(
                KeyManagerFault::DeviceFailed,
                "its worker violated the protocol",
            );
            self.retry_or_fail(job, error);
            return Err("an answer that does not match its job");
        }
        let outcome = match outcome {
            Outcome::Failed(failed) => {
                self.fail(worker, job, failed);
                return Ok(());
            }
            outcome => outcome,
        };
        if let Outcome::Encrypted(sealed) = &outcome {
            let (_, key) = job.work.subject();
            if !self.history.of(key).add_iv(sealed.iv) {
                let reason = "its output is wrong: it used an IV twice for one key";
                self.distrust(worker, reason.to_owned());
            }
        }
        match self.trust.lost() {
            None => job.answer(outcome, &self.name, worked),
            Some(reason) => {
                let fault = KeyManagerFault::DeviceUnavailable;
                job.work.fail(self.error(fault, reason.to_string()));
            }
        }
        Ok(())
    }
}
