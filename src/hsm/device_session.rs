//! A session with the device: the three things that jobs ask for, with everything that can be mended in place mended, and with
//! the blame for what cannot.

use std::sync::Arc;

use cryptoki::object::ObjectHandle;
use cryptoki::session::Session;

use super::blame::Verdict;
use super::errors::CallError;
use super::failure::{Direction, Failure, JobKind, failure_of_find, judged};
use super::gcm::Gcm;
use super::health::{Checker, KnownGood};
use super::keys::{FindError, KeyEntry};
use super::owner::Opening;
use super::shared::Shared;
use super::token;
use crate::ekm::{
    DecryptJob, DescribeJob, EncryptJob, EncryptionCount, KeyAttributes, KeyKind, KeyManagerFault,
    KeySelector, KeyUsageFlags, Opened, Sealed,
};
use crate::secret::SecretBytes;
use crate::sync::poisoned;

/// How often the device is called for one job: after a lost session, a stale handle or an ambiguous code once more each, then
/// the whole device is opened anew.
const CALLS: usize = 3;

/// A session, for one thread.
pub(super) struct DeviceSession {
    shared: Arc<Shared>,
    pub opening: Arc<Opening>,
    session: Session,
    gcm: Gcm,
}

impl DeviceSession {
    /// Takes `session` over; it is closed when this is dropped.
    pub(super) fn new(shared: &Arc<Shared>, opening: Arc<Opening>, session: Session) -> Self {
        Self {
            shared: Arc::clone(shared),
            gcm: Gcm::new(Arc::clone(&opening.module), opening.plan),
            opening,
            session,
        }
    }

    /// Encrypts.
    pub(super) fn encrypt(&mut self, job: &EncryptJob) -> Result<Sealed, Failure> {
        let allowed = |usage: &KeyUsageFlags| usage.encrypt && (usage.decrypt || !job.must_decrypt);
        let shared = Arc::clone(&self.shared);
        let begin = || shared.metrics.encrypt.begin_call(&job.calls);
        self.with_key(
            &job.key,
            JobKind {
                direction: Direction::Encrypt,
                length: job.plaintext.len() + job.aad.len(),
            },
            allowed,
            begin,
            |owner, key| {
                let plaintext = job.plaintext.expose();
                let sealed = owner
                    .gcm
                    .encrypt(&owner.session, key.handle, &job.aad, plaintext);
                count_encryption(&sealed, &*job.encryptions);
                sealed
            },
        )
    }

    /// Decrypts.
    pub(super) fn decrypt(&mut self, job: &DecryptJob) -> Result<Opened, Failure> {
        let kind = JobKind {
            direction: Direction::Decrypt,
            length: job.ciphertext_and_tag.len() + job.aad.len(),
        };
        let shared = Arc::clone(&self.shared);
        let begin = || shared.metrics.decrypt.begin_call(&job.calls);
        self.with_key(
            &job.key,
            kind,
            |usage| usage.decrypt,
            begin,
            |owner, key| match (owner.open(job, key, &job.aad), &job.or_aad) {
                (Ok(plaintext), _) => Ok(Opened {
                    plaintext,
                    by_or_aad: false,
                }),
                // The other form first: if that one opens, the device is well and nothing has to be settled.
                (Err(error), Some(aad)) if kind.verdict(error) == Verdict::Ambiguous && begin() => {
                    let plaintext = owner.open(job, key, aad)?;
                    Ok(Opened {
                        plaintext,
                        by_or_aad: true,
                    })
                }
                (Err(error), _) => Err(error),
            },
        )
    }

    fn open(
        &mut self,
        job: &DecryptJob,
        key: &KeyEntry,
        aad: &[u8],
    ) -> Result<SecretBytes, CallError> {
        let input = &job.ciphertext_and_tag;
        self.gcm
            .decrypt(&self.session, key.handle, &job.iv, aad, input)
    }

    /// Reads a key's attributes from the device.
    pub(super) fn describe(&mut self, job: &DescribeJob) -> Result<KeyAttributes, Failure> {
        let selector = &*job.key;
        let entry = self.healed(|owner| {
            if !owner.shared.metrics.describe.begin_call(&job.calls) {
                return Err(abandoned());
            }
            let entry = owner.find(selector, None)?;
            owner.read_again(selector, entry)
        })?;
        Ok(entry.attributes)
    }

    /// The key as the device has it now: a handle that cannot be read any more is stale, and its successor is looked for.
    fn read_again(&mut self, selector: &KeySelector, key: KeyEntry) -> Result<KeyEntry, Failure> {
        match self
            .opening
            .keys
            .read_again(&self.session, selector, key.handle)
        {
            Ok(entry) => Ok(entry),
            Err(_) => self.find(selector, Some(key.handle)),
        }
    }

    /// Calls the device with the key's cached handle. What can be mended in place is: a stale handle is found again, a lost
    /// session opened, a lost login made.
    fn with_key<T>(
        &mut self,
        selector: &KeySelector,
        job: JobKind,
        allowed: impl Fn(&KeyUsageFlags) -> bool,
        begin: impl Fn() -> bool,
        mut call: impl FnMut(&mut Self, &KeyEntry) -> Result<T, CallError>,
    ) -> Result<T, Failure> {
        let (mut stale, mut is_settled) = (None, false);
        for _ in 0..CALLS {
            let key = self.healed(|owner| owner.find(selector, stale))?;
            let key = self.healed(|owner| owner.permitted(selector, key.clone(), &allowed))?;
            if !begin() {
                return Err(abandoned());
            }
            let error = match call(self, &key) {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            match job.verdict(error) {
                Verdict::HandleStale => stale = Some(key.handle),
                Verdict::SessionLost => {
                    self.heal()?;
                    // A new login makes new handles.
                    stale = Some(key.handle);
                }
                // A device that works may have erred this once: nobody is blamed before a second call.
                Verdict::Ambiguous if !is_settled => {
                    self.settle(error, job.direction, &key)?;
                    // On some devices a key that was deleted answers so too.
                    self.healed(|owner| owner.read_again(selector, key.clone()))?;
                    is_settled = true;
                }
                verdict => return Err(judged(error, verdict, job.direction)),
            }
        }
        Err(Failure::of_device(
            "the session, the login or the key is lost again and again",
        ))
    }

    fn find(
        &mut self,
        selector: &KeySelector,
        stale: Option<ObjectHandle>,
    ) -> Result<KeyEntry, Failure> {
        let keys = &self.opening.keys;
        let found = match stale {
            None => keys.find(&self.session, selector),
            Some(stale) => keys.find_again(&self.session, selector, stale),
        };
        match found {
            Err(FindError::Absent) => Err(self.absent(selector)),
            found => found.map_err(|error| failure_of_find(error, selector)),
        }
    }

    /// "No such key" is final for KMS: it is said only by a device that still has its health key, if it ever had one.
    fn absent(&mut self, selector: &KeySelector) -> Failure {
        let known = self.known_good();
        let checker = Checker {
            session: &self.session,
            gcm: &mut self.gcm,
        };
        match known {
            Some(known) if !checker.still_works(&known) => {
                Failure::of_device("the token has lost its keys")
            }
            _ => failure_of_find(FindError::Absent, selector),
        }
    }

    fn known_good(&self) -> Option<Arc<KnownGood>> {
        self.opening
            .known_good
            .read()
            .unwrap_or_else(poisoned)
            .clone()
    }

    /// Does something that needs the session, which is mended once if it is lost.
    fn healed<T>(
        &mut self,
        mut work: impl FnMut(&mut Self) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        match work(self) {
            Err(failure) if failure.lost_session => {
                self.heal()?;
                work(self)
            }
            outcome => outcome,
        }
    }

    /// A new session, and the login that may have gone with the old one. A PIN is only tried again after it has worked.
    fn heal(&mut self) -> Result<(), Failure> {
        let (hsm, opening) = (&self.shared.settings.name, &self.opening);
        let failed = |error: token::OpenError| Failure::of_device(error.to_string());
        let session = opening.module.context.open_ro_session(opening.slot);
        self.session = session.map_err(|error| failed(error.into()))?;
        token::log_in(&self.session, &self.shared.settings.pin).map_err(failed)?;
        self.gcm = Gcm::new(Arc::clone(&opening.module), opening.plan);
        tracing::warn!(%hsm, "a lost session was opened again");
        Ok(())
    }

    /// The key, if its attributes allow the operation. Attributes that do not are read again first: they may have been
    /// changed on the device.
    fn permitted(
        &mut self,
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
        let key = self.read_again(selector, key)?;
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

    /// An ambiguous code: does this session still do what is known to be good? If not, the device is to blame.
    fn settle(
        &mut self,
        error: CallError,
        direction: Direction,
        key: &KeyEntry,
    ) -> Result<(), Failure> {
        let known = self.known_good();
        let mut checker = Checker {
            session: &self.session,
            gcm: &mut self.gcm,
        };
        let works = match direction {
            Direction::Encrypt => checker.device_encrypts(known.as_deref(), key),
            Direction::Decrypt => checker.device_decrypts(known.as_deref(), key),
        };
        match works {
            true => Ok(()),
            false => Err(Failure::of_device(format!(
                "{error}, and the same with the health key"
            ))),
        }
    }
}

/// Counts a ciphertext that the device has made, also one that is not used because it is wrong.
pub(super) fn count_encryption(sealed: &Result<Sealed, CallError>, count: &dyn EncryptionCount) {
    match sealed {
        Ok(_) | Err(CallError::ImpossibleLength(_) | CallError::IvRefused) => count.count(),
        Err(CallError::Returned(_) | CallError::NotCallable) => {}
    }
}

/// The job's request has ended and was recorded: the HSM must not be called for it any more.
fn abandoned() -> Failure {
    Failure::of_job(KeyManagerFault::DeadlinePassed, "its request has ended")
}
