//! An owner thread: one session, one job after the other.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use cryptoki::session::Session;
use prometheus::Histogram;

use super::blame::{Verdict, verdict};
use super::ffi::CallError;
use super::gcm::Gcm;
use super::health::{Checker, KnownGood};
use super::keys::{FindError, KeyEntry, KeyTable};
use super::module::Module;
use super::queue::Generation;
use super::shared::{Job, Reply, Shared, Work};
use crate::ekm::{
    DecryptJob, EncryptJob, KeyAttributes, KeyKind, KeyManagerError, KeyManagerFault, KeySelector,
    KeyUsageFlags, Sealed, Served,
};
use crate::secret::SecretBytes;

/// What the owners of one opening of the device share.
pub(super) struct Opening {
    pub generation: Generation,
    pub module: Arc<Module>,
    pub keys: KeyTable,
    /// The newest ciphertext of the health check; none while there is no fit health key.
    pub known_good: RwLock<Option<Arc<KnownGood>>>,
}

/// A session with its thread.
pub(super) struct Owner {
    shared: Arc<Shared>,
    opening: Arc<Opening>,
    session: Session,
    gcm: Gcm,
}

/// Which way a job goes: a bad ciphertext is possible in one direction only.
#[derive(Clone, Copy)]
enum Direction {
    Encrypt,
    Decrypt,
}

/// Why a job failed.
struct Failure {
    fault: KeyManagerFault,
    detail: String,
    /// Whether the session, the login or the device is gone with it.
    fatal: bool,
}

impl Failure {
    fn of_job(fault: KeyManagerFault, detail: impl Into<String>) -> Self {
        Self {
            fault,
            detail: detail.into(),
            fatal: false,
        }
    }

    fn of_device(detail: impl Into<String>) -> Self {
        Self {
            fault: KeyManagerFault::DeviceFailed,
            detail: detail.into(),
            fatal: true,
        }
    }
}

impl Owner {
    pub(super) fn new(shared: Arc<Shared>, opening: Arc<Opening>, session: Session) -> Self {
        let gcm = Gcm::new(Arc::clone(&opening.module));
        Self {
            shared,
            opening,
            session,
            gcm,
        }
    }

    /// Takes jobs until the generation is over. The session is closed at the end, whatever happened.
    pub(super) fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let generation = self.opening.generation;
        shared.owner_started();
        let worked = catch_unwind(AssertUnwindSafe(|| {
            while let Some(job) = shared.take(generation) {
                self.perform(job);
            }
        }));
        drop(self);
        if worked.is_err() {
            shared.report_fatal(generation, "an owner thread panicked".to_owned());
        }
        shared.owner_ended();
    }

    fn perform(&mut self, job: Job) {
        let shared = Arc::clone(&self.shared);
        shared
            .metrics
            .queue
            .observe(job.queued_at.elapsed().as_secs_f64());
        if job.work.is_abandoned() {
            let name = &shared.settings.name;
            let fault = KeyManagerFault::DeadlinePassed;
            let error = KeyManagerError::new(fault, name, "it was too late for the device");
            return job.work.fail(error);
        }
        let queued_at = job.queued_at;
        match job.work {
            Work::Encrypt(job, reply) => {
                self.answer(queued_at, &shared.metrics.encrypt, reply, |o| {
                    o.encrypt(&job)
                });
            }
            Work::Decrypt(job, reply) => {
                self.answer(queued_at, &shared.metrics.decrypt, reply, |o| {
                    o.decrypt(&job)
                });
            }
            Work::Describe(key, _, reply) => {
                self.answer(queued_at, &shared.metrics.describe, reply, |o| {
                    o.describe(&key)
                });
            }
        }
    }

    /// Does the work, measures it, answers, and reports a device that is gone.
    fn answer<T>(
        &mut self,
        queued_at: Instant,
        histogram: &Histogram,
        reply: Reply<T>,
        work: impl FnOnce(&mut Self) -> Result<T, Failure>,
    ) {
        let started = Instant::now();
        let outcome = work(self);
        let worked = started.elapsed();
        histogram.observe(worked.as_secs_f64());
        self.shared.learn_service_time(worked);
        let device = Arc::clone(&self.shared.settings.name);
        let outcome = match outcome {
            Ok(value) => Ok(Served {
                value,
                device,
                queued: started.saturating_duration_since(queued_at),
                worked,
            }),
            Err(failure) => {
                if failure.fatal {
                    let generation = self.opening.generation;
                    self.shared.report_fatal(generation, failure.detail.clone());
                }
                Err(KeyManagerError::new(failure.fault, &device, failure.detail))
            }
        };
        // A caller that is gone does not mind.
        drop(reply.send(outcome));
    }

    fn encrypt(&mut self, job: &EncryptJob) -> Result<Sealed, Failure> {
        let allowed = |usage: &KeyUsageFlags| usage.encrypt && (usage.decrypt || !job.must_decrypt);
        self.with_key(&job.key, Direction::Encrypt, allowed, |owner, key| {
            owner
                .gcm
                .encrypt(&owner.session, key.handle, &job.aad, job.plaintext.expose())
        })
    }

    fn decrypt(&mut self, job: &DecryptJob) -> Result<SecretBytes, Failure> {
        self.with_key(
            &job.key,
            Direction::Decrypt,
            |usage| usage.decrypt,
            |owner, key| {
                let input = &job.ciphertext_and_tag;
                owner
                    .gcm
                    .decrypt(&owner.session, key.handle, &job.iv, &job.aad, input)
            },
        )
    }

    fn describe(&mut self, selector: &KeySelector) -> Result<KeyAttributes, Failure> {
        let keys = &self.opening.keys;
        let entry = keys
            .find(&self.session, selector)
            .map_err(|error| failure_of_find(error, selector))?;
        let entry = match keys.read_again(&self.session, selector, entry.handle) {
            Ok(entry) => entry,
            Err(_) => keys
                .find_again(&self.session, selector, entry.handle)
                .map_err(|error| failure_of_find(error, selector))?,
        };
        Ok(entry.attributes)
    }

    /// Calls the device with the key's cached handle; a stale handle is found again, once.
    fn with_key<T>(
        &mut self,
        selector: &KeySelector,
        direction: Direction,
        allowed: impl Fn(&KeyUsageFlags) -> bool,
        mut call: impl FnMut(&mut Self, &KeyEntry) -> Result<T, CallError>,
    ) -> Result<T, Failure> {
        let keys = &self.opening.keys;
        let key = keys
            .find(&self.session, selector)
            .map_err(|error| failure_of_find(error, selector))?;
        let key = self.permitted(selector, key, &allowed)?;
        let error = match call(self, &key) {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        if verdict(error) != Verdict::HandleStale {
            return Err(self.judged(error, direction, &key));
        }
        let again = self
            .opening
            .keys
            .find_again(&self.session, selector, key.handle);
        let key = self.permitted(
            selector,
            again.map_err(|error| failure_of_find(error, selector))?,
            &allowed,
        )?;
        call(self, &key).map_err(|error| self.judged(error, direction, &key))
    }

    /// The key, if its attributes allow the operation. Attributes that do not are read again first: they may have been
    /// changed on the device.
    fn permitted(
        &self,
        selector: &KeySelector,
        key: KeyEntry,
        allowed: impl Fn(&KeyUsageFlags) -> bool,
    ) -> Result<KeyEntry, Failure> {
        let fit = |key: &KeyEntry| {
            key.attributes.kind == KeyKind::Aes(256) && allowed(&key.attributes.usage)
        };
        if fit(&key) {
            return Ok(key);
        }
        let keys = &self.opening.keys;
        // A handle that cannot be read any more is stale: the key's successor may be fit.
        let key = match keys.read_again(&self.session, selector, key.handle) {
            Ok(key) => key,
            Err(_) => keys
                .find_again(&self.session, selector, key.handle)
                .map_err(|error| failure_of_find(error, selector))?,
        };
        match (fit(&key), &key.attributes.kind) {
            (true, _) => Ok(key),
            (false, KeyKind::Aes(256)) => Err(Failure::of_job(
                KeyManagerFault::UsageNotPermitted,
                "the key's attributes do not allow this",
            )),
            (false, kind) => Err(Failure::of_job(
                KeyManagerFault::KeyUnsuitable,
                format!("the key is {kind:?}, not AES-256"),
            )),
        }
    }

    /// Who is to blame for `error`.
    fn judged(&mut self, error: CallError, direction: Direction, key: &KeyEntry) -> Failure {
        let detail = error.to_string();
        match verdict(error) {
            Verdict::Ambiguous => self.settled(detail, direction, key),
            Verdict::HandleStale => Failure::of_job(KeyManagerFault::DeviceFailed, detail),
            Verdict::UsageNotPermitted => {
                Failure::of_job(KeyManagerFault::UsageNotPermitted, detail)
            }
            Verdict::KeyUnsuitable => Failure::of_job(KeyManagerFault::KeyUnsuitable, detail),
            Verdict::InputTooLong => Failure::of_job(KeyManagerFault::InputTooLong, detail),
            Verdict::Fatal => Failure::of_device(detail),
        }
    }

    /// An ambiguous code: does this session decrypt what is known to be good?
    fn settled(&mut self, detail: String, direction: Direction, key: &KeyEntry) -> Failure {
        let known = self
            .opening
            .known_good
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let mut checker = Checker {
            session: &self.session,
            gcm: &mut self.gcm,
        };
        match (checker.device_works(known.as_deref(), key), direction) {
            (true, Direction::Decrypt) => {
                let detail = format!("{detail}, and a known-good decryption worked");
                Failure::of_job(KeyManagerFault::CiphertextInvalid, detail)
            }
            (true, Direction::Encrypt) => Failure::of_job(KeyManagerFault::DeviceFailed, detail),
            (false, _) => {
                let detail = format!("{detail}, and a known-good decryption failed");
                Failure::of_device(detail)
            }
        }
    }
}

fn failure_of_find(error: FindError, selector: &KeySelector) -> Failure {
    match error {
        FindError::Absent => Failure::of_job(
            KeyManagerFault::KeyAbsent,
            format!("the token has no key with {selector}"),
        ),
        FindError::Ambiguous => Failure::of_job(
            KeyManagerFault::KeyAmbiguous,
            format!("the token has several keys with {selector}"),
        ),
        FindError::Call(error) => Failure::of_device(error.to_string()),
    }
}
