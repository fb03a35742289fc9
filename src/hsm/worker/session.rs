//! One session of a worker: jobs go out, answers come back.
//!
//! # Invariants
//! - An answer is used only for the job whose number it bears, once, and only if it is of that job's kind and length. Anything else means
//!   that the worker is broken: it is killed.
//! - No job is lost: when the session ends, each job that was sent and not answered is tried once more or failed.

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

/// Where a session gets its jobs, and what becomes of their answers.
pub(in crate::hsm) trait Desk: Sync {
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
pub(in crate::hsm) struct Session {
    id: u64,
    /// Of which worker.
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
    /// Packets for which the socket has no room yet. The next answer makes some.
    unsent: VecDeque<Packet>,
    /// The session has ended: nothing is sent any more.
    is_over: bool,
}

/// Jobs that go out together.
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
    /// The session behind this channel. `number` tells it from the worker's other ones.
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

    /// Whether it takes jobs.
    pub(in crate::hsm) fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Acquire)
    }

    /// Whether a job is on its way.
    pub(in crate::hsm) fn is_busy(&self) -> bool {
        !self.sent().jobs.is_empty()
    }

    /// Sends a job that the pool has assigned to this session.
    pub(in crate::hsm) fn send(&self, desk: &impl Desk, job: Job) {
        self.send_all(desk, vec![job]);
    }

    /// Sends jobs that the pool has assigned to this session; for those that nobody waits for any more, the next ones.
    fn send_all(&self, desk: &impl Desk, mut jobs: Vec<Job>) {
        let mut sent = self.sent();
        if sent.is_over {
            drop(sent);
            return jobs
                .into_iter()
                .for_each(|job| desk.send_elsewhere(self, job));
        }
        let mut packet = Packet::default();
        jobs.reverse();
        while let Some(mut job) = jobs.pop() {
            let id = sent.next_id;
            let Some(frame) = job.begin(id, desk.verifies_encryptions()) else {
                jobs.extend(desk.next(self));
                continue;
            };
            sent.next_id += 1;
            sent.jobs.insert(id, job);
            desk.load().begin(&self.slot);
            if let Some(batch) = packet.batch.push(frame) {
                let ids = std::mem::take(&mut packet.ids);
                sent.unsent.push_back(Packet { batch, ids });
            }
            packet.ids.push(id);
        }
        if !packet.batch.is_empty() {
            sent.unsent.push_back(packet);
        }
        // Under the lock: the end of the session finds the jobs in the table, or finds that they were never sent.
        self.flush(desk, sent);
    }

    /// Sends what there is room for. Jobs that cannot be sent any more go elsewhere.
    fn flush(&self, desk: &impl Desk, mut sent: MutexGuard<'_, Sent>) {
        if sent.flush(&self.channel).is_ok() {
            return;
        }
        let jobs = sent.take_unsent();
        drop(sent);
        for job in jobs {
            desk.load().rest(&self.slot);
            desk.send_elsewhere(self, job);
        }
    }

    /// Reads answers until the worker ends or breaks the protocol. Returns what it did wrong, if it did.
    pub(in crate::hsm) async fn read(self: &Arc<Self>, desk: &impl Desk) -> Option<String> {
        let mut buffer = vec![0; MAX_FRAME];
        let fault = loop {
            let length = match self.channel.receive(&mut buffer).await {
                Ok(0) => break None,
                Ok(length) => length,
                Err(error) => break Some(error.to_string()),
            };
            let packet = buffer.get_mut(..length).unwrap_or_default();
            let said = FromSession::from_packet(packet);
            // It may have held plaintexts.
            packet.zeroize();
            let outcome = match said {
                Ok(said) => self.conclude_all(desk, said).map_err(str::to_owned),
                Err(error) => Err(error.to_string()),
            };
            if let Err(fault) = outcome {
                break Some(fault);
            }
        };
        self.end(desk);
        fault
    }

    /// Concludes the jobs of a packet of answers, up to the first answer that fits no job.
    ///
    /// # Errors
    /// What the worker did wrong.
    pub(in crate::hsm) fn conclude_all(
        self: &Arc<Self>,
        desk: &impl Desk,
        said: Vec<FromSession>,
    ) -> Result<(), &'static str> {
        let mut done = Vec::with_capacity(said.len());
        let mut outcome = Ok(());
        for said in said {
            match said {
                FromSession::Ready => {
                    self.is_ready.store(true, Ordering::Release);
                    desk.add(self);
                }
                FromSession::Answer(answer) => {
                    let Some(job) = self.sent().jobs.remove(&answer.id) else {
                        outcome = Err("an answer to no job");
                        break;
                    };
                    done.push((job, answer));
                }
            }
        }
        for (job, answer) in &mut done {
            self.settle(desk, job, answer);
        }
        if outcome.is_ok() {
            // First the next jobs: the HSM need not wait for the answers of these.
            let next = done.iter().filter_map(|_| desk.next(self)).collect();
            self.send_all(desk, next);
        }
        for (job, answer) in done {
            let Answer {
                cost,
                outcome: of_job,
                ..
            } = answer;
            let concluded = desk.conclude(self.worker, job, cost.worked, of_job);
            outcome = outcome.and(concluded);
        }
        outcome
    }

    /// Counts what a job cost.
    fn settle(&self, desk: &impl Desk, job: &mut Job, answer: &Answer) {
        match answer.outcome {
            Outcome::Failed(_) => desk.load().rest(&self.slot),
            _ => desk.load().end(&self.slot, answer.cost.worked),
        }
        job.settle(answer.cost, desk.metrics());
    }

    /// The session is over: its jobs are tried once more. No other session of its worker gets them: they would die with it as well, and a
    /// job is sent twice only.
    pub(in crate::hsm) fn end(&self, desk: &impl Desk) {
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

    /// The jobs that no worker has seen.
    fn take_unsent(&mut self) -> Vec<Job> {
        let packets = std::mem::take(&mut self.unsent);
        let ids = packets.into_iter().flat_map(|packet| packet.ids);
        ids.filter_map(|id| self.jobs.remove(&id)).collect()
    }
}

#[cfg(test)]
pub(in crate::hsm) mod tests;
