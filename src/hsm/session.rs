//! One session of a worker: jobs go out, answers come back.
//!
//! # Invariants
//! - An answer is used only for the job whose number it bears, once, and only if it is of that job's kind and length. Anything else means
//!   that the worker is broken: it is killed.
//! - No job is lost: when the session ends, each job that was sent and not answered is tried once more or failed.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use zeroize::Zeroize;

use super::channel::Channel;
use super::job::Job;
use super::load_estimate::{LoadEstimate, Slot};
use super::metrics::DeviceMetrics;
use super::pool::Lane;
use crate::hsm_protocol::{Answer, FromSession, MAX_FRAME, Outcome};
use crate::sync::poisoned;

/// Where a session gets its jobs, and what becomes of their answers.
pub(super) trait Desk: Sync {
    /// Whether each ciphertext is decrypted before it is returned.
    fn verifies_encryptions(&self) -> bool;

    /// What the sessions are doing.
    fn load(&self) -> &LoadEstimate;

    /// The metrics of the HSM.
    fn metrics(&self) -> &DeviceMetrics;

    /// A session takes jobs. Those of a worker that does not serve yet wait until it does.
    fn add(&self, session: &Arc<Session>);

    /// A session takes no jobs any more.
    fn remove(&self, session: &Session);

    /// A session has done one of its jobs. Returns its next one.
    fn next(&self, session: &Session) -> Option<Job>;

    /// A worker ends: its other sessions get no jobs any more.
    fn worker_ends(&self, worker: u32);

    /// A job could not be sent to a session that has ended. That was no try: no worker has seen the job.
    fn send_elsewhere(&self, session: &Session, job: Job);

    /// A job was not answered, because its session ended.
    fn try_again(&self, job: Job);

    /// Passes on what came of a job.
    ///
    /// # Errors
    /// The outcome is none that this job can have: the worker is broken.
    fn conclude(
        &self,
        worker: u32,
        job: Job,
        worked: Duration,
        outcome: Outcome,
    ) -> Result<(), &'static str>;
}

/// A session of one worker.
pub(super) struct Session {
    id: u64,
    /// Of which worker.
    pub worker: u32,
    channel: Channel,
    pub slot: Arc<Slot>,
    is_ready: AtomicBool,
    sent: Mutex<Sent>,
}

#[derive(Default)]
struct Sent {
    next_id: u64,
    jobs: HashMap<u64, Job>,
    /// Frames for which the socket has no room yet. The next answer makes some.
    unsent: VecDeque<Vec<u8>>,
    /// The session has ended: nothing is sent any more.
    is_over: bool,
}

impl Lane for Session {
    fn id(&self) -> u64 {
        self.id
    }
}

impl Session {
    /// The session behind this channel. `number` tells it from the worker's other ones.
    pub(super) fn new(worker: u32, number: u32, channel: Channel, slot: Arc<Slot>) -> Self {
        Self {
            id: u64::from(worker) << 32 | u64::from(number),
            worker,
            channel,
            slot,
            is_ready: AtomicBool::new(false),
            sent: Mutex::default(),
        }
    }

    fn sent(&self) -> MutexGuard<'_, Sent> {
        self.sent.lock().unwrap_or_else(poisoned)
    }

    /// Whether it takes jobs.
    pub(super) fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Acquire)
    }

    /// Whether a job is on its way.
    pub(super) fn is_busy(&self) -> bool {
        !self.sent().jobs.is_empty()
    }

    /// Sends a job that the pool has assigned to this session; if nobody waits for it any more, the next one.
    pub(super) fn send(&self, desk: &impl Desk, job: Job) {
        let mut next = Some(job);
        while let Some(mut job) = next {
            let mut sent = self.sent();
            if sent.is_over {
                drop(sent);
                return desk.send_elsewhere(self, job);
            }
            let id = sent.next_id;
            let Some(frame) = job.begin(id, desk.verifies_encryptions()) else {
                drop(sent);
                next = desk.next(self);
                continue;
            };
            sent.next_id += 1;
            sent.jobs.insert(id, job);
            desk.load().begin(&self.slot);
            // Under the lock: the end of the session finds the job in the table, or finds that it was never sent.
            if sent.send(&self.channel, frame).is_err() {
                let unsent = sent.jobs.remove(&id);
                drop(sent);
                desk.load().rest(&self.slot);
                if let Some(job) = unsent {
                    desk.send_elsewhere(self, job);
                }
            }
            return;
        }
    }

    /// Reads answers until the worker ends or breaks the protocol. Returns what it did wrong, if it did.
    pub(super) async fn read(self: &Arc<Self>, desk: &impl Desk) -> Option<String> {
        let mut buffer = vec![0; MAX_FRAME];
        let fault = loop {
            let length = match self.channel.receive(&mut buffer).await {
                Ok(0) => break None,
                Ok(length) => length,
                Err(error) => break Some(error.to_string()),
            };
            let frame = buffer.get_mut(..length).unwrap_or_default();
            let said = FromSession::from_frame(frame);
            // It may have held a plaintext.
            frame.zeroize();
            match said {
                Ok(FromSession::Ready) => {
                    self.is_ready.store(true, Ordering::Release);
                    desk.add(self);
                }
                Ok(FromSession::Answer(answer)) => {
                    if let Err(fault) = self.conclude(desk, answer) {
                        break Some(fault.to_owned());
                    }
                }
                Err(error) => break Some(error.to_string()),
            }
        };
        self.end(desk);
        fault
    }

    fn conclude(&self, desk: &impl Desk, answer: Answer) -> Result<(), &'static str> {
        let Answer { id, cost, outcome } = answer;
        let mut sent = self.sent();
        let job = sent.jobs.remove(&id);
        // A socket that cannot be used any more is at its end, which is read after the answers.
        drop(sent.flush(&self.channel));
        drop(sent);
        let Some(mut job) = job else {
            return Err("an answer to no job");
        };
        match outcome {
            Outcome::Failed(_) => desk.load().rest(&self.slot),
            _ => desk.load().end(&self.slot, cost.worked),
        }
        job.settle(cost, desk.metrics());
        // First the next job: the HSM need not wait for the answer of this one.
        if let Some(next) = desk.next(self) {
            self.send(desk, next);
        }
        desk.conclude(self.worker, job, cost.worked, outcome)
    }

    /// No other session of its worker gets its jobs: they would die with it as well, and a job is sent twice only.
    fn end(&self, desk: &impl Desk) {
        self.is_ready.store(false, Ordering::Release);
        desk.worker_ends(self.worker);
        desk.remove(self);
        let mut sent = self.sent();
        sent.is_over = true;
        let jobs = std::mem::take(&mut sent.jobs);
        drop(sent);
        desk.load().remove_slot(&self.slot);
        for (_, mut job) in jobs {
            job.count_lost(desk.metrics());
            desk.try_again(job);
        }
    }
}

impl Sent {
    /// Sends a frame, or keeps it until there is room.
    fn send(&mut self, channel: &Channel, frame: Vec<u8>) -> io::Result<()> {
        self.unsent.push_back(frame);
        self.flush(channel)
    }

    fn flush(&mut self, channel: &Channel) -> io::Result<()> {
        while let Some(frame) = self.unsent.front() {
            match channel.send(frame) {
                Ok(()) => drop(self.unsent.pop_front()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
