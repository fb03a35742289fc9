//! A session with the device, which performs jobs. It recovers from errors in place if possible. Other errors are attributed before the
//! job fails, see [`attribution`].

mod attribution;
mod recovery;

use std::sync::Arc;

use cryptoki::object::ObjectHandle;

use self::recovery::{Recovery, Step};
use super::tally::Tally;
use crate::ekm::{
    DecryptJob, DescribeJob, Encrypted, EncryptionCount, KeyAttributes, KeyKind, KeyManagerFault,
    KeySelector, KeyUsageFlags, Opened, Uncounted,
};
use crate::pkcs11::aes_gcm::gcm::Gcm;
use crate::pkcs11::error_attribution::error_class::classify;
use crate::pkcs11::error_attribution::failure::{
    Failure, Operation, Request, StepError, lookup_error,
};
use crate::pkcs11::keys::table::{FindError, KeyEntry};
use crate::pkcs11::library::errors::CallError;
use crate::pkcs11::library::ffi::Session;
use crate::pkcs11::worker_state::WorkerState;
use crate::pkcs11::worker_state::connection::Connection;
use crate::secret::SecretBytes;

/// A session of one thread.
pub(in crate::pkcs11) struct DeviceSession {
    pub worker: Arc<WorkerState>,
    pub connection: Arc<Connection>,
    pub session: Session,
    pub gcm: Gcm,
    /// The HSM calls of the current job.
    pub tally: Arc<Tally>,
}

impl DeviceSession {
    /// Owns `session`, which is closed when this value is dropped.
    pub(in crate::pkcs11) fn new(
        worker: &Arc<WorkerState>,
        connection: Arc<Connection>,
        session: Session,
    ) -> Self {
        Self {
            worker: Arc::clone(worker),
            gcm: Gcm::new(connection.plan),
            connection,
            session,
            tally: Arc::default(),
        }
    }

    /// Decrypts, with the alternative AAD if the first one fails.
    pub(in crate::pkcs11) fn decrypt(&mut self, job: &DecryptJob) -> Result<Opened, Failure> {
        let request = Request {
            operation: Operation::Decrypt,
            key: &job.key,
            length: job.ciphertext_and_tag.len() + job.aad.len(),
            encryptions: &*job.encryptions,
        };
        let tally = Arc::clone(&self.tally);
        let begin = || tally.begin(Operation::Decrypt, job.deadline);
        self.with_key(
            request,
            |usage| usage.decrypt,
            begin,
            |device, key| match (device.open(job, key, &job.aad), &job.or_aad) {
                (Ok(plaintext), _) => Ok(Opened {
                    plaintext,
                    by_or_aad: false,
                }),
                // The alternative AAD is tried before the error is attributed: if it works, the device works too.
                (Err(error), Some(aad)) if request.may_be_invalid_ciphertext(error) && begin() => {
                    let plaintext = device.open(job, key, aad)?;
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
        let opened = self
            .gcm
            .decrypt(&self.session, key.handle, &job.iv, aad, input);
        self.worker.watched(opened)
    }

    /// Reads a key's attributes from the device.
    pub(in crate::pkcs11) fn describe(
        &mut self,
        job: &DescribeJob,
    ) -> Result<KeyAttributes, Failure> {
        let selector = &*job.key;
        let request = Request {
            operation: Operation::Describe,
            key: selector,
            length: 0,
            encryptions: &Uncounted,
        };
        let entry = self.with_recovery(request, |device| {
            if !device.tally.begin(Operation::Describe, job.deadline) {
                return Err(StepError::Attributed(deadline_passed()));
            }
            let entry = device.find(selector, None)?;
            device.read_again(selector, entry)
        })?;
        self.worker.note_success(Operation::Describe, selector);
        Ok(entry.attributes)
    }

    /// Reads the key again. Searches for it if the handle cannot be read any more.
    fn read_again(&mut self, selector: &KeySelector, key: KeyEntry) -> Result<KeyEntry, StepError> {
        match self
            .connection
            .keys
            .read_again(&self.session, selector, key.handle)
        {
            Ok(entry) => Ok(entry),
            Err(_) => self.find(selector, Some(key.handle)),
        }
    }

    /// Calls the device with the cached handle of the key. Recovers in place from a stale handle, a lost session and a lost login. Other
    /// errors are attributed after a test and a second call.
    pub(in crate::pkcs11) fn with_key<T>(
        &mut self,
        request: Request<'_>,
        allowed: impl Fn(&KeyUsageFlags) -> bool,
        begin: impl Fn() -> bool,
        mut call: impl FnMut(&mut Self, &KeyEntry) -> Result<T, CallError>,
    ) -> Result<T, Failure> {
        let selector = request.key;
        let (mut stale, mut recovery) = (None, Recovery::default());
        loop {
            let key = self.with_recovery(request, |device| device.find(selector, stale))?;
            let permitted = |device: &mut Self| device.permitted(selector, key.clone(), &allowed);
            let key = self.with_recovery(request, permitted)?;
            if !begin() {
                return Err(deadline_passed());
            }
            let error = match call(self, &key) {
                Ok(value) => {
                    self.worker.note_success(request.operation, selector);
                    return Ok(value);
                }
                Err(error) => error,
            };
            if recovery.is_first()
                && let Some(failure) = self.repeated_failure(request, error)
            {
                return Err(failure);
            }
            match recovery.next(request.class(error)) {
                Step::FindAgain => stale = Some(key.handle),
                Step::Reconnect => {
                    self.reconnect()?;
                    // Handles may change with a new login.
                    stale = Some(key.handle);
                }
                Step::TestDevice => {
                    recovery.evidence = Some(self.test_device(request, Some(&key), error)?);
                    // Some devices return the same code for a deleted key.
                    self.with_recovery(request, |device| device.read_again(selector, key.clone()))?;
                }
                Step::Attribute(evidence) => {
                    return Err(self.attribute(request, &key, error, evidence));
                }
                Step::Fail(fault) => return Err(Failure::unambiguous(fault, error)),
            }
        }
    }

    /// Runs `work`, with the recovery of [`Self::with_key`].
    fn with_recovery<T>(
        &mut self,
        request: Request<'_>,
        mut work: impl FnMut(&mut Self) -> Result<T, StepError>,
    ) -> Result<T, Failure> {
        let mut recovery = Recovery::default();
        loop {
            let error = match work(self) {
                Ok(value) => return Ok(value),
                Err(StepError::Attributed(failure)) => return Err(failure),
                Err(StepError::Unattributed(error)) => error,
            };
            match recovery.next(classify(error)) {
                Step::FindAgain => {}
                Step::Reconnect => self.reconnect()?,
                Step::TestDevice => {
                    recovery.evidence = Some(self.test_device(request, None, error)?)
                }
                Step::Attribute(evidence) => {
                    return Err(self.attribute_to_key(request, None, error, evidence, true));
                }
                Step::Fail(fault) => return Err(Failure::unambiguous(fault, error)),
            }
        }
    }

    fn find(
        &mut self,
        selector: &KeySelector,
        stale: Option<ObjectHandle>,
    ) -> Result<KeyEntry, StepError> {
        let keys = &self.connection.keys;
        let found = match stale {
            None => keys.find(&self.session, selector),
            Some(stale) => keys.find_replacement(&self.session, selector, stale),
        };
        match found {
            // KMS treats a missing key as final. A device that had a health key must still have it before a key is reported as missing.
            Err(FindError::Absent) if self.health_key_works(Operation::Decrypt) == Some(false) => {
                let failure = Failure::device("the token has lost its keys");
                Err(StepError::Attributed(failure))
            }
            found => found.map_err(|error| lookup_error(error, selector)),
        }
    }

    /// Returns the key if its attributes permit the operation. If not, reads them again first, at most once per second: they may have
    /// changed on the device.
    fn permitted(
        &mut self,
        selector: &KeySelector,
        key: KeyEntry,
        allowed: impl Fn(&KeyUsageFlags) -> bool,
    ) -> Result<KeyEntry, StepError> {
        let fit = |key: &KeyEntry| {
            key.attributes.kind == KeyKind::Aes(256) && allowed(&key.attributes.usage)
        };
        if fit(&key) {
            return Ok(key);
        }
        let key = match self.connection.keys.is_just_read(selector) {
            true => key,
            false => self.read_again(selector, key)?,
        };
        let failure = match (fit(&key), &key.attributes.kind) {
            (true, _) => return Ok(key),
            (false, KeyKind::Aes(256)) => Failure::job(
                KeyManagerFault::UsageNotPermitted,
                "the key's attributes do not allow this",
            ),
            (false, kind) => Failure::job(
                KeyManagerFault::KeyUnsuitable,
                format!("the key is {kind:?}, not AES-256"),
            ),
        };
        Err(StepError::Attributed(failure))
    }
}

/// Counts a ciphertext that the device made, also if it is wrong and not used.
pub(in crate::pkcs11) fn count_encryption(
    sealed: &Result<Encrypted, CallError>,
    count: &dyn EncryptionCount,
) {
    match sealed {
        Ok(_) | Err(CallError::Wrong(_) | CallError::IvReplaced) => count.count(),
        Err(CallError::Returned(..) | CallError::NotCallable) => {}
    }
}

/// The error of a job whose request has ended and was recorded. The HSM must not be called for it any more.
fn deadline_passed() -> Failure {
    Failure::job(KeyManagerFault::DeadlinePassed, "its request has ended")
}
