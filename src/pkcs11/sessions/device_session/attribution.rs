//! Attributes an error to the device, the key or the request.
//!
//! # Invariants
//! - An error is attributed to the device only if the health key also fails on the same session. Without a health key, two keys must fail
//!   with the same error within a second, while no other key works.
//! - A ciphertext is invalid only if a known-good ciphertext was decrypted on the same session. It must be of the same key if that key can
//!   encrypt.

use std::sync::Arc;
use std::time::Instant;

use cryptoki::object::ObjectHandle;

use super::DeviceSession;
use crate::ekm::{Encrypted, KeyManagerFault};
use crate::pkcs11::aes_gcm::gcm::Gcm;
use crate::pkcs11::error_attribution::error_class::ErrorClass;
use crate::pkcs11::error_attribution::failure::{Evidence, Failure, Operation, Request};
use crate::pkcs11::error_attribution::key_failures::Rejection;
use crate::pkcs11::health_key::check::{self, Checked, Checker, KnownGood};
use crate::pkcs11::keys::table::KeyEntry;
use crate::pkcs11::library::errors::CallError;
use crate::pkcs11::token::open_error::OpenError;
use crate::sync::poisoned;

/// The result of a known-good operation with the key of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyCheck {
    Works,
    Fails,
    /// No test is possible, because the key may not encrypt.
    Untestable,
    /// The key fails to encrypt, or the device makes no ciphertext that decrypts. It is unknown whether the key can decrypt.
    Suspect,
}

impl DeviceSession {
    /// Tests whether the device works after `error`.
    ///
    /// # Errors
    /// When the device does not work.
    pub(super) fn test_device(
        &mut self,
        request: Request<'_>,
        key: Option<&KeyEntry>,
        error: CallError,
    ) -> Result<Evidence, Failure> {
        let decrypted = key.filter(|_| request.may_be_invalid_ciphertext(error));
        if decrypted.is_some_and(|key| self.opens_own_ciphertext(key)) {
            return Ok(Evidence::ThisKey);
        }
        match self.health_key_works(request.operation) {
            Some(true) => Ok(Evidence::HealthKey),
            Some(false) => Err(Failure::device(format!(
                "{error}; the health key also fails"
            ))),
            None => Ok(Evidence::Nothing),
        }
    }

    /// Returns the failure of a job whose key has just failed with the same error; `None` if the error must be attributed.
    pub(super) fn repeated_failure(
        &self,
        request: Request<'_>,
        error: CallError,
    ) -> Option<Failure> {
        if request.may_be_invalid_ciphertext(error) {
            return None;
        }
        let worker = &self.worker;
        worker.repeated_rejection(request.operation, request.key, error)
    }

    /// Attributes the last error of a job, with the evidence of [`Self::test_device`].
    pub(super) fn attribute(
        &mut self,
        request: Request<'_>,
        key: &KeyEntry,
        error: CallError,
        evidence: Evidence,
    ) -> Failure {
        let check = match evidence {
            Evidence::ThisKey => KeyCheck::Works,
            Evidence::HealthKey | Evidence::Nothing => self.check_key(request, key),
        };
        let is_about_the_key_only = request.class(error).is_about_the_key_only();
        match (request.may_be_invalid_ciphertext(error), check) {
            (true, KeyCheck::Works) => {
                self.worker.note_success(request.operation, request.key);
                Failure::job(KeyManagerFault::CiphertextInvalid, error.to_string())
            }
            (true, KeyCheck::Untestable) if evidence == Evidence::HealthKey => {
                Failure::job(KeyManagerFault::CiphertextInvalid, error.to_string())
            }
            // The ciphertext or the key is bad. Neither is an error of the device.
            (true, KeyCheck::Untestable | KeyCheck::Suspect) => {
                self.reject_key(request, Some(key.handle), error, evidence, false)
            }
            // The key works with a different input.
            (false, KeyCheck::Works) => {
                self.reject_key(request, Some(key.handle), error, Evidence::ThisKey, false)
            }
            (_, KeyCheck::Fails) => {
                self.attribute_to_key(request, Some(key.handle), error, evidence, true)
            }
            (false, KeyCheck::Untestable | KeyCheck::Suspect) => self.attribute_to_key(
                request,
                Some(key.handle),
                error,
                evidence,
                is_about_the_key_only,
            ),
        }
    }

    /// Attributes an error to the key, or to the device if it has no health key and two keys fail.
    pub(super) fn attribute_to_key(
        &self,
        request: Request<'_>,
        object: Option<ObjectHandle>,
        error: CallError,
        evidence: Evidence,
        is_proven: bool,
    ) -> Failure {
        let (failures, now) = (&self.worker.key_failures, Instant::now());
        let indicates_device_failure = evidence == Evidence::Nothing
            && failures.indicates_device_failure(
                request.operation,
                request.key,
                object,
                error,
                now,
            );
        match indicates_device_failure {
            false => self.reject_key(request, object, error, evidence, is_proven),
            true => {
                failures.clear();
                Failure::device(format!(
                    "{error} with two keys within a second; the HSM has no health key"
                ))
            }
        }
    }

    fn reject_key(
        &self,
        request: Request<'_>,
        object: Option<ObjectHandle>,
        error: CallError,
        evidence: Evidence,
        is_proven: bool,
    ) -> Failure {
        let others = match evidence {
            Evidence::ThisKey => "the key works with other inputs",
            Evidence::HealthKey => "the health key works",
            Evidence::Nothing => "the HSM has no health key for a comparison",
        };
        let rejection = Rejection {
            fault: fault(request.class(error), evidence),
            detail: format!("{error} with the key of {}; {others}", request.key).into(),
            error,
            is_proven,
        };
        self.worker
            .add_rejection(request.operation, request.key, object, &rejection);
        rejection.into_failure()
    }

    /// Tries a known-good operation with the key of the job.
    fn check_key(&mut self, request: Request<'_>, key: &KeyEntry) -> KeyCheck {
        if request.operation == Operation::Encrypt {
            return match self.encrypt_known(request, key) {
                Some(_) => KeyCheck::Works,
                None => KeyCheck::Fails,
            };
        }
        if self.opens_own_ciphertext(key) {
            return KeyCheck::Works;
        }
        if !key.attributes.usage.encrypt {
            return KeyCheck::Untestable;
        }
        let Some(encrypted) = self.encrypt_known(request, key) else {
            return KeyCheck::Suspect;
        };
        let known = KnownGood::new(key.clone(), encrypted);
        if self.checker().still_works(&known) {
            self.connection.known_ciphertexts.add(known);
            return KeyCheck::Works;
        }
        // The cause may be the encryption. Then decryptions must not be rejected.
        match self.known_good() {
            Some(health) if !self.does_known_good(Operation::Encrypt, &health) => KeyCheck::Suspect,
            Some(_) | None => KeyCheck::Fails,
        }
    }

    fn encrypt_known(&mut self, request: Request<'_>, key: &KeyEntry) -> Option<Encrypted> {
        let worker = Arc::clone(&self.worker);
        let history = Some(worker.history.of(request.key));
        let (session, aad, plaintext) = (&self.session, check::AAD, check::PLAINTEXT);
        let encrypted = self
            .gcm
            .encrypt(session, key.handle, history, aad, plaintext);
        super::count_encryption(&encrypted, request.encryptions);
        worker.watched(encrypted).ok()
    }

    fn opens_own_ciphertext(&mut self, key: &KeyEntry) -> bool {
        let known = self.connection.known_ciphertexts.of(key.handle);
        known.is_some_and(|known| self.checker().still_works(&known))
    }

    /// Returns whether the device works with the health key, in the direction of the operation; `None` without a health key.
    pub(super) fn health_key_works(&mut self, operation: Operation) -> Option<bool> {
        let known = self.known_good()?;
        let works = self.does_known_good(operation, &known) || self.works_after_recovery();
        Some(works)
    }

    fn does_known_good(&mut self, operation: Operation, known: &KnownGood) -> bool {
        match operation {
            Operation::Decrypt => self.checker().still_works(known),
            Operation::Encrypt | Operation::Describe => self.checker().encrypts_again(known),
        }
    }

    /// Repeats the check. The handle of the health key may be stale, the session may be lost, or an operation may be active in it.
    fn works_after_recovery(&mut self) -> bool {
        let checked = match self.check_health() {
            Ok(checked) => Ok(checked),
            Err(_) => match self.replace_session() {
                Ok(()) => self.check_health(),
                Err(error) => Err(error),
            },
        };
        let Ok(Checked::Works(known)) = checked else {
            return false;
        };
        let slot = &self.connection.known_good;
        *slot.write().unwrap_or_else(poisoned) = Some(Arc::new(known));
        true
    }

    fn check_health(&mut self) -> Result<Checked, OpenError> {
        let (connection, worker) = (Arc::clone(&self.connection), Arc::clone(&self.worker));
        let (label, history) = (&worker.settings.health_key, &worker.history);
        let checked = self.checker().check(&connection.keys, label, history);
        if let Err(OpenError::Crypto(CallError::Wrong(violation))) = checked {
            worker.distrust(violation);
        }
        checked
    }

    fn checker(&mut self) -> Checker<'_> {
        Checker {
            session: &self.session,
            gcm: &mut self.gcm,
        }
    }

    fn known_good(&self) -> Option<Arc<KnownGood>> {
        self.connection
            .known_good
            .read()
            .unwrap_or_else(poisoned)
            .clone()
    }

    /// Replaces a lost session. Succeeds also if no new session can be opened but the current session works.
    pub(super) fn reconnect(&mut self) -> Result<(), Failure> {
        let Err(error) = self.replace_session() else {
            return Ok(());
        };
        let known = self.known_good();
        match known.is_some_and(|known| self.checker().still_works(&known)) {
            true => Ok(()),
            false => Err(Failure::device(error.to_string())),
        }
    }

    /// Opens a new session and logs in again. The record of logins permits this, because the PIN was accepted before.
    fn replace_session(&mut self) -> Result<(), OpenError> {
        let session = self.connection.slot.open_session(&self.connection.module)?;
        self.worker.log_in(&session, &self.connection.identity)?;
        self.session = session;
        self.gcm = Gcm::new(self.connection.plan);
        let hsm = &self.worker.settings.name;
        tracing::warn!(%hsm, "a lost session was reopened");
        Ok(())
    }
}

/// The fault that is reported for a key that fails.
fn fault(class: ErrorClass, evidence: Evidence) -> KeyManagerFault {
    match (class, evidence) {
        (ErrorClass::UsageNotPermitted, _) => KeyManagerFault::UsageNotPermitted,
        (ErrorClass::KeyUnsuitable, _) => KeyManagerFault::KeyUnsuitable,
        // If another key works, the token has the mechanism.
        (ErrorClass::MechanismNotPermitted, Evidence::HealthKey | Evidence::ThisKey) => {
            KeyManagerFault::UsageNotPermitted
        }
        _ => KeyManagerFault::KeyFailed,
    }
}
