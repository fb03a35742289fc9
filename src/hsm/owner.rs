//! An owner thread: one session, one job after the other.

use std::sync::{Arc, RwLock};
use std::time::Instant;

use prometheus::Histogram;

use super::device_session::DeviceSession;
use super::failure::Failure;
use super::ffi::Session;
use super::health::{KeyProofs, KnownGood};
use super::job::{Job, Reply, Work};
use super::keys::KeyTable;
use super::load::Slot;
use super::module::Module;
use super::profile::Plan;
use super::queue::Generation;
use super::shared::Shared;
use super::slot::TokenSlot;
use super::turns::Waiting;
use crate::ekm::{KeyManagerFault, Served};
use crate::sync::thread;

/// What the owners of one opening of the device share.
pub(super) struct Opening {
    pub generation: Generation,
    pub module: Arc<Module>,
    pub slot: TokenSlot,
    pub plan: Plan,
    pub keys: KeyTable,
    /// The newest ciphertext of the health check; none while there is no fit health key.
    pub known_good: RwLock<Option<Arc<KnownGood>>>,
    /// Ciphertexts of keys whose decryptions were in doubt.
    pub key_proofs: KeyProofs,
}

/// A session with its thread.
pub(super) struct Owner {
    shared: Arc<Shared>,
    device: DeviceSession,
    slot: Arc<Slot>,
}

impl Owner {
    /// Starts an owner's thread. Without a session it opens one there: a device that hangs must not keep the caller.
    pub(super) fn start(
        shared: &Arc<Shared>,
        opening: &Arc<Opening>,
        session: Option<Session>,
    ) -> std::io::Result<()> {
        let (shared, opening) = (Arc::clone(shared), Arc::clone(opening));
        let slot = shared.load.add_slot();
        let (for_failure, slot_of_failure) = (Arc::clone(&shared), Arc::clone(&slot));
        let name = format!("hsm-{}", shared.settings.name);
        let started = thread(name, move || live(&shared, opening, session, &slot));
        let forget = |_: &_| for_failure.load.remove_slot(&slot_of_failure);
        started.map(drop).inspect_err(forget)
    }

    /// Takes jobs until the generation is over, or until this owner was given up while it hung.
    fn run(&mut self) {
        let shared = Arc::clone(&self.shared);
        while let Some(job) = shared.take(self.device.opening.generation) {
            self.perform(job);
            if self.slot.is_lost() {
                return;
            }
        }
    }

    fn perform(&mut self, job: Job) {
        let shared = Arc::clone(&self.shared);
        shared
            .metrics
            .queue
            .observe(job.queued_at.elapsed().as_secs_f64());
        if job.is_abandoned() {
            let fault = KeyManagerFault::DeadlinePassed;
            return job
                .work
                .fail(shared.error(fault, "it was too late for the device"));
        }
        if let Some(error) = shared.rejection_of_queued(&job) {
            return job.work.fail(error);
        }
        let Job {
            work,
            queued_at,
            is_second_try,
        } = job;
        let rejoin = |work| Job {
            work,
            queued_at,
            is_second_try,
        };
        match work {
            Work::Encrypt(job, reply) => {
                let outcome = self.timed(queued_at, &shared.metrics.encrypt.seconds, |o| {
                    o.device.encrypt(&job)
                });
                self.conclude(outcome, reply, |reply| rejoin(Work::Encrypt(job, reply)));
            }
            Work::Decrypt(job, reply) => {
                let outcome = self.timed(queued_at, &shared.metrics.decrypt.seconds, |o| {
                    o.device.decrypt(&job)
                });
                self.conclude(outcome, reply, |reply| rejoin(Work::Decrypt(job, reply)));
            }
            Work::Describe(job, reply) => {
                let outcome = self.timed(queued_at, &shared.metrics.describe.seconds, |o| {
                    o.device.describe(&job)
                });
                self.conclude(outcome, reply, |reply| rejoin(Work::Describe(job, reply)));
            }
        }
    }

    /// Does the work and measures it.
    fn timed<T>(
        &mut self,
        queued_at: Instant,
        histogram: &Histogram,
        work: impl FnOnce(&mut Self) -> Result<T, Failure>,
    ) -> Result<Served<T>, Failure> {
        let shared = Arc::clone(&self.shared);
        let started = Instant::now();
        shared.load.begin(&self.slot);
        let outcome = work(self);
        let worked = started.elapsed();
        match outcome {
            Ok(_) => shared.load.end(&self.slot, worked),
            Err(_) => shared.load.rest(&self.slot),
        }
        histogram.observe(worked.as_secs_f64());
        outcome.map(|value| Served {
            value,
            device: Arc::clone(&shared.settings.name),
            queued: started.saturating_duration_since(queued_at),
            worked,
        })
    }

    /// Answers; after a fatal fault the job waits for the device to be opened again, once.
    fn conclude<T>(
        &self,
        outcome: Result<Served<T>, Failure>,
        reply: Reply<T>,
        rejoin: impl FnOnce(Reply<T>) -> Job,
    ) {
        match outcome {
            // A caller that is gone does not mind.
            Ok(served) => drop(reply.send(self.shared.unless_untrusted(served))),
            Err(failure) => {
                let error = self.shared.error(failure.fault, failure.detail.clone());
                if !failure.fatal {
                    return drop(reply.send(Err(error)));
                }
                self.shared
                    .report_fatal(self.device.opening.generation, failure.detail);
                self.shared.try_again(rejoin(reply), error);
            }
        }
    }
}

/// The life of an owner's thread. Its session is closed and its slot given back at the end.
fn live(shared: &Arc<Shared>, opening: Arc<Opening>, session: Option<Session>, slot: &Arc<Slot>) {
    serve(shared, opening, session, slot);
    shared.load.remove_slot(slot);
    shared.wake();
}

fn serve(shared: &Arc<Shared>, opening: Arc<Opening>, session: Option<Session>, slot: &Arc<Slot>) {
    shared.load.begin(slot);
    let session = session.map_or_else(|| opening.slot.open_session(&opening.module), Ok);
    shared.load.rest(slot);
    let session = match session {
        Ok(session) => session,
        Err(error) => {
            let hsm = &shared.settings.name;
            return tracing::warn!(%hsm, %error, "no session for another owner thread");
        }
    };
    let mut owner = Owner {
        device: DeviceSession::new(shared, opening, session),
        shared: Arc::clone(shared),
        slot: Arc::clone(slot),
    };
    shared.metrics.sessions.inc();
    owner.run();
    drop(owner);
    shared.metrics.sessions.dec();
}
