//! One session of a worker: sends jobs and reads answers.
//!
//! # Invariants
//! - An answer is used only for the job with its id, only once, and only if kind and length match the job. Any other answer is a violation
//!   of the protocol, after which the worker is killed.
//! - No job is lost: when the session ends, each job without an answer is sent again or failed.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use zeroize::Zeroize;

use crate::hsm::metrics::DeviceMetrics;
use crate::hsm::queue::job::Job;
use crate::hsm::queue::load_estimate::{LoadEstimate, Slot};
use crate::hsm::queue::pool::Lane;
use crate::hsm::worker::channel::Channel;
use crate::hsm_protocol::{Answer, Batch, FromSession, MAX_FRAME, Outcome};
use crate::sync::Lock;

/// The queue from which a session gets jobs, and which handles their outcomes.
pub(in crate::hsm) trait JobQueue: Sync {
    /// Returns whether the worker verifies each ciphertext by decrypting it.
    fn verifies_encryptions(&self) -> bool;

    /// The load of the sessions.
    fn load(&self) -> &LoadEstimate;

    /// The metrics of the HSM.
    fn metrics(&self) -> &DeviceMetrics;

    /// Adds a ready session. It gets jobs when its worker serves.
    fn add(&self, session: &Arc<Session>);

    /// Removes a session.
    fn remove(&self, session: &Session);

    /// Notes that a session has done one of its jobs. Returns the next job for it.
    fn next(&self, session: &Session) -> Option<Job>;

    /// Notes that a worker ends. Its other sessions get no more jobs.
    fn worker_ends(&self, worker: u32);

    /// Queues a job that could not be sent because its session has ended. This does not count as an attempt.
    fn requeue_unsent(&self, session: &Session, job: Job);

    /// Queues a job without an answer after its session ended, or fails it after the second attempt.
    fn retry(&self, job: Job);

    /// Handles the outcome of a job.
    ///
    /// # Errors
    /// When the job cannot have this outcome, which violates the protocol.
    fn handle_outcome(
        &self,
        worker: u32,
        job: Job,
        worked: Duration,
        outcome: Outcome,
    ) -> Result<(), &'static str>;
}

/// A session of one worker.
pub(in crate::hsm) struct Session {
    id: u64,
    /// The number of the worker.
    pub worker: u32,
    channel: Channel,
    pub slot: Arc<Slot>,
    is_ready: AtomicBool,
    sent: Lock<Sent>,
}

#[derive(Default)]
struct Sent {
    next_id: u64,
    jobs: HashMap<u64, Job>,
    /// Packets that do not fit into the socket yet. They are sent after the next answer.
    unsent: VecDeque<Packet>,
    /// True if the session has ended.
    is_over: bool,
}

/// Jobs that are sent in one packet.
#[derive(Default)]
struct Packet {
    batch: Batch,
    ids: Vec<u64>,
}

impl Lane for Session {
    fn id(&self) -> u64 {
        self.id
    }
}

impl Session {
    /// Creates a session. `number` is unique among the sessions of the worker.
    pub(in crate::hsm) fn new(worker: u32, number: u32, channel: Channel, slot: Arc<Slot>) -> Self {
        Self {
            id: u64::from(worker) << 32 | u64::from(number),
            worker,
            channel,
            slot,
            is_ready: AtomicBool::new(false),
            sent: Lock::default(),
        }
    }

    fn sent(&self) -> MutexGuard<'_, Sent> {
        self.sent.lock()
    }

    /// Returns whether it accepts jobs.
    pub(in crate::hsm) fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Acquire)
    }

    /// Returns whether it has jobs without an answer.
    pub(in crate::hsm) fn is_busy(&self) -> bool {
        !self.sent().jobs.is_empty()
    }

    /// Sends a job that the pool has assigned to this session.
    pub(in crate::hsm) fn send(&self, queue: &impl JobQueue, job: Job) {
        self.send_all(queue, vec![job]);
    }

    /// Sends jobs that the pool has assigned to this session. Replaces abandoned jobs by the next ones.
    fn send_all(&self, queue: &impl JobQueue, mut jobs: Vec<Job>) {
        let mut sent = self.sent();
        if sent.is_over {
            drop(sent);
            return jobs
                .into_iter()
                .for_each(|job| queue.requeue_unsent(self, job));
        }
        let mut packet = Packet::default();
        jobs.reverse();
        while let Some(mut job) = jobs.pop() {
            let id = sent.next_id;
            let Some(frame) = job.begin(id, queue.verifies_encryptions()) else {
                jobs.extend(queue.next(self));
                continue;
            };
            sent.next_id += 1;
            sent.jobs.insert(id, job);
            queue.load().begin(&self.slot);
            if let Some(batch) = packet.batch.push(frame) {
                let ids = std::mem::take(&mut packet.ids);
                sent.unsent.push_back(Packet { batch, ids });
            }
            packet.ids.push(id);
        }
        if !packet.batch.is_empty() {
            sent.unsent.push_back(packet);
        }
        // Under the lock, so that the end of the session does not miss these jobs.
        self.flush(queue, sent);
    }

    /// Sends as many packets as fit. If the channel is closed, queues the unsent jobs again.
    fn flush(&self, queue: &impl JobQueue, mut sent: MutexGuard<'_, Sent>) {
        if sent.flush(&self.channel).is_ok() {
            return;
        }
        let jobs = sent.take_unsent();
        drop(sent);
        for job in jobs {
            queue.load().end_failed(&self.slot);
            queue.requeue_unsent(self, job);
        }
    }

    /// Reads answers until the worker ends or violates the protocol. Returns the violation, if there was one.
    pub(in crate::hsm) async fn read(self: &Arc<Self>, queue: &impl JobQueue) -> Option<String> {
        let mut buffer = vec![0; MAX_FRAME];
        let violation = loop {
            let length = match self.channel.receive(&mut buffer).await {
                Ok(0) => break None,
                Ok(length) => length,
                Err(error) => break Some(error.to_string()),
            };
            let packet = buffer.get_mut(..length).unwrap_or_default();
            let frames = FromSession::from_packet(packet);
            // The packet may contain plaintexts.
            packet.zeroize();
            let outcome = match frames {
                Ok(frames) => self.handle_answers(queue, frames).map_err(str::to_owned),
                Err(error) => Err(error.to_string()),
            };
            if let Err(violation) = outcome {
                break Some(violation);
            }
        };
        self.end(queue);
        violation
    }

    /// Handles the answers of a packet, up to the first one without a job.
    ///
    /// # Errors
    /// A violation of the protocol.
    pub(in crate::hsm) fn handle_answers(
        self: &Arc<Self>,
        queue: &impl JobQueue,
        frames: Vec<FromSession>,
    ) -> Result<(), &'static str> {
        let mut done = Vec::with_capacity(frames.len());
        let mut outcome = Ok(());
        for frame in frames {
            match frame {
                FromSession::Ready => {
                    self.is_ready.store(true, Ordering::Release);
                    queue.add(self);
                }
                FromSession::Answer(answer) => {
                    let Some(job) = self.sent().jobs.remove(&answer.id) else {
                        outcome = Err("an answer without a job");
                        break;
                    };
                    done.push((job, answer));
                }
            }
        }
        for (job, answer) in &mut done {
            self.record_cost(queue, job, answer);
        }
        if outcome.is_ok() {
            // The next jobs are sent before the answers are handled, so that the HSM does not wait.
            let next = done.iter().filter_map(|_| queue.next(self)).collect();
            self.send_all(queue, next);
        }
        for (job, answer) in done {
            let Answer {
                cost,
                outcome: job_outcome,
                ..
            } = answer;
            let concluded = queue.handle_outcome(self.worker, job, cost.worked, job_outcome);
            outcome = outcome.and(concluded);
        }
        outcome
    }

    /// Records the cost of a job.
    fn record_cost(&self, queue: &impl JobQueue, job: &mut Job, answer: &Answer) {
        match answer.outcome {
            Outcome::Failed(_) => queue.load().end_failed(&self.slot),
            _ => queue.load().end(&self.slot, answer.cost.worked),
        }
        job.record_cost(answer.cost, queue.metrics());
    }

    /// Ends the session, and queues its jobs again. The other sessions of the worker are removed first, because the worker is ending and a
    /// job is sent at most twice.
    pub(in crate::hsm) fn end(&self, queue: &impl JobQueue) {
        self.is_ready.store(false, Ordering::Release);
        queue.worker_ends(self.worker);
        queue.remove(self);
        let mut sent = self.sent();
        sent.is_over = true;
        let unsent = sent.take_unsent();
        let jobs = std::mem::take(&mut sent.jobs);
        drop(sent);
        queue.load().remove_slot(&self.slot);
        for job in unsent {
            queue.requeue_unsent(self, job);
        }
        for (_, mut job) in jobs {
            job.count_lost(queue.metrics());
            queue.retry(job);
        }
    }
}

impl Sent {
    fn flush(&mut self, channel: &Channel) -> io::Result<()> {
        while let Some(packet) = self.unsent.front() {
            match channel.send(packet.batch.packet()) {
                Ok(()) => drop(self.unsent.pop_front()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Removes and returns the jobs that were not sent.
    fn take_unsent(&mut self) -> Vec<Job> {
        let packets = std::mem::take(&mut self.unsent);
        let ids = packets.into_iter().flat_map(|packet| packet.ids);
        ids.filter_map(|id| self.jobs.remove(&id)).collect()
    }
}

#[cfg(test)]
pub(in crate::hsm) mod tests;
