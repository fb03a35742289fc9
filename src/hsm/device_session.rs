//! A session with the device: the three things that jobs ask for, with everything that can be mended in place mended, and with
//! the blame for what cannot.

use std::sync::{Arc, PoisonError};

use cryptoki::object::ObjectHandle;
use cryptoki::session::Session;

use super::blame::{Verdict, verdict};
use super::errors::CallError;
use super::gcm::Gcm;
use super::health::{Checker, KnownGood};
use super::keys::{FindError, KeyEntry};
use super::owner::Opening;
use super::shared::Shared;
use super::token;
use crate::ekm::{
    DecryptJob, EncryptJob, KeyAttributes, KeyKind, KeyManagerFault, KeySelector, KeyUsageFlags,
    Sealed,
};
use crate::secret::SecretBytes;

/// How often the device is called for one job: after a lost session, a stale handle or an ambiguous code once more each, then
/// the whole device is opened anew.
const CALLS: usize = 3;

/// The least that a device must take in one call, plaintext and AAD together (XKS API, Encrypt): "too long" is not believed
/// of less.
const NEVER_TOO_LONG: usize = 4_300 + 8_192;

/// A session, for one thread.
pub(super) struct DeviceSession {
    shared: Arc<Shared>,
    pub opening: Arc<Opening>,
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
pub(super) struct Failure {
    pub fault: KeyManagerFault,
    pub detail: String,
    /// Whether the device is gone with it.
    pub fatal: bool,
    /// Whether it is only the session or the login that is gone.
    lost_session: bool,
}

impl Failure {
    fn of_job(fault: KeyManagerFault, detail: impl Into<String>) -> Self {
        Self {
            fault,
            detail: detail.into(),
            fatal: false,
            lost_session: false,
        }
    }

    fn of_device(detail: impl Into<String>) -> Self {
        Self {
            fault: KeyManagerFault::DeviceFailed,
            detail: detail.into(),
            fatal: true,
            lost_session: false,
        }
    }
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
        self.with_key(
            &job.key,
            JobKind {
                direction: Direction::Encrypt,
                length: job.plaintext.len() + job.aad.len(),
            },
            allowed,
            |owner, key| {
                owner
                    .gcm
                    .encrypt(&owner.session, key.handle, &job.aad, job.plaintext.expose())
            },
        )
    }

    /// Decrypts.
    pub(super) fn decrypt(&mut self, job: &DecryptJob) -> Result<SecretBytes, Failure> {
        self.with_key(
            &job.key,
            JobKind {
                direction: Direction::Decrypt,
                length: job.ciphertext_and_tag.len() + job.aad.len(),
            },
            |usage| usage.decrypt,
            |owner, key| {
                let input = &job.ciphertext_and_tag;
                owner
                    .gcm
                    .decrypt(&owner.session, key.handle, &job.iv, &job.aad, input)
            },
        )
    }

    /// Reads a key's attributes from the device.
    pub(super) fn describe(&mut self, selector: &KeySelector) -> Result<KeyAttributes, Failure> {
        let entry = self.healed(|owner| {
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
        mut call: impl FnMut(&mut Self, &KeyEntry) -> Result<T, CallError>,
    ) -> Result<T, Failure> {
        let (mut stale, mut is_settled) = (None, false);
        for _ in 0..CALLS {
            let key = self.healed(|owner| owner.find(selector, stale))?;
            let key = self.healed(|owner| owner.permitted(selector, key.clone(), &allowed))?;
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
            .unwrap_or_else(PoisonError::into_inner)
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

/// What the blame depends on besides the code.
#[derive(Clone, Copy)]
struct JobKind {
    direction: Direction,
    /// Plaintext or ciphertext, and AAD, in bytes.
    length: usize,
}

impl JobKind {
    fn verdict(self, error: CallError) -> Verdict {
        match verdict(error) {
            Verdict::InputTooLong if self.length <= NEVER_TOO_LONG => Verdict::Ambiguous,
            verdict => verdict,
        }
    }
}

/// Who is to blame, when nothing more is to be mended. An ambiguous code has come twice by then, with a device that works.
fn judged(error: CallError, verdict: Verdict, direction: Direction) -> Failure {
    let detail = error.to_string();
    let fault = match (verdict, direction) {
        (Verdict::Ambiguous, Direction::Decrypt) => KeyManagerFault::CiphertextInvalid,
        (Verdict::Ambiguous, Direction::Encrypt) => KeyManagerFault::DeviceFailed,
        (Verdict::UsageNotPermitted, _) => KeyManagerFault::UsageNotPermitted,
        (Verdict::KeyUnsuitable, _) => KeyManagerFault::KeyUnsuitable,
        (Verdict::InputTooLong, _) => KeyManagerFault::InputTooLong,
        (Verdict::HandleStale | Verdict::SessionLost | Verdict::Fatal, _) => {
            return Failure::of_device(detail);
        }
    };
    Failure::of_job(fault, detail)
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
        FindError::Call(error) => failure_of_call(&error),
    }
}

fn failure_of_call(error: &cryptoki::error::Error) -> Failure {
    let lost_session = matches!(
        error,
        cryptoki::error::Error::Pkcs11(code, _) if token::is_about_the_session(*code)
    );
    Failure {
        lost_session,
        ..Failure::of_device(error.to_string())
    }
}
