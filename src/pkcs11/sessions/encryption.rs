//! Encryption on a session, and the verification of what was encrypted.
//!
//! # Invariants
//! - A ciphertext that must be verified is decrypted on the same session, from the very buffers that are returned, and compared with its
//!   plaintext. The digest is computed over these buffers before (XKS API, Encrypt: encrypt, compute the CDIV, decrypt and compare, answer).
//! - A device that decrypts a ciphertext to another plaintext is not trusted any more. Neither is one that cannot decrypt what it has encrypted
//!   under a key that it could decrypt before. If it never could, the error may be the key's, and other keys are served.

use super::device_session::{DeviceSession, count_encryption};
use crate::ekm::{EncryptJob, KeyHistory, KeyManagerFault, KeyUsageFlags, Sealed};
use crate::pkcs11::error_attribution::failure::{Failure, Operation, Request};
use crate::pkcs11::health_key::check::joined;
use crate::pkcs11::library::errors::Violation;
use crate::secret::constant_time_eq;

/// How often a ciphertext that does not decrypt to its plaintext is made again before the job fails. One: a device that errs twice in a row
/// is not one to trust with data.
const SECOND_TRIES: u32 = 1;

/// What the decryption of a new ciphertext gave.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Finding {
    /// The plaintext.
    Same,
    /// Another plaintext.
    Different,
    /// The ciphertext does not authenticate.
    NotAuthentic,
}

impl DeviceSession {
    /// Encrypts; verifies the ciphertext if the job or the configuration of the device says so.
    pub(in crate::pkcs11) fn encrypt(&mut self, job: &EncryptJob) -> Result<Sealed, Failure> {
        if !self.must_verify(job) {
            return self.seal(job);
        }
        let mut worst = Finding::NotAuthentic;
        for _ in 0..=SECOND_TRIES {
            let mut sealed = self.seal(job)?;
            sealed.digest = job
                .digest
                .as_ref()
                .map(|digest| digest.of(&sealed.iv, &sealed.ciphertext, &sealed.tag));
            match self.verify(job, &sealed)? {
                Finding::Same => {
                    self.history(job).note_decryption();
                    return Ok(sealed);
                }
                Finding::Different => worst = Finding::Different,
                Finding::NotAuthentic => {}
            }
            tracing::error!(
                hsm = &*self.worker.settings.name,
                key = %job.key,
                "the HSM made a ciphertext that does not decrypt to its plaintext; it was not sent"
            );
        }
        Err(self.not_decryptable(job, worst))
    }

    fn must_verify(&self, job: &EncryptJob) -> bool {
        job.digest.is_some() || self.worker.settings.verify_encryptions
    }

    fn history<'a>(&'a self, job: &'a EncryptJob) -> KeyHistory<'a> {
        self.worker.history.of(&job.key)
    }

    fn seal(&mut self, job: &EncryptJob) -> Result<Sealed, Failure> {
        let must_decrypt = job.must_decrypt || self.must_verify(job);
        let (worker, tally) = (self.worker.clone(), self.tally.clone());
        self.with_key(
            request(job, Operation::Encrypt, job.plaintext.len()),
            |usage: &KeyUsageFlags| usage.encrypt && (usage.decrypt || !must_decrypt),
            || tally.begin(Operation::Encrypt, job.deadline),
            |owner, key| {
                let history = worker.history.of(&job.key);
                let (session, plaintext) = (&owner.session, job.plaintext.expose());
                let sealed =
                    owner
                        .gcm
                        .encrypt(session, key.handle, Some(history), &job.aad, plaintext);
                count_encryption(&sealed, &*job.encryptions);
                worker.watched(sealed)
            },
        )
    }

    fn verify(&mut self, job: &EncryptJob, sealed: &Sealed) -> Result<Finding, Failure> {
        let (worker, tally, input) = (self.worker.clone(), self.tally.clone(), joined(sealed));
        let opened = self.with_key(
            request(job, Operation::Decrypt, input.len()),
            |usage| usage.decrypt,
            || tally.begin(Operation::Decrypt, job.deadline),
            |owner, key| {
                let (session, iv) = (&owner.session, &sealed.iv);
                let opened = owner.gcm.decrypt(session, key.handle, iv, &job.aad, &input);
                worker.watched(opened)
            },
        );
        match opened {
            Ok(opened) if constant_time_eq(opened.expose(), job.plaintext.expose()) => {
                Ok(Finding::Same)
            }
            Ok(_) => Ok(Finding::Different),
            // The caller sent no ciphertext: one that does not authenticate is the device's doing, or the key's.
            Err(failure) if failure.fault == KeyManagerFault::CiphertextInvalid => {
                Ok(Finding::NotAuthentic)
            }
            Err(failure) => Err(failure),
        }
    }

    fn not_decryptable(&self, job: &EncryptJob, worst: Finding) -> Failure {
        let violation = Violation::NotDecryptable;
        if worst == Finding::Different || self.history(job).has_decrypted() {
            self.worker.distrust(violation);
        }
        Failure::of_job(KeyManagerFault::DeviceFailed, violation.to_string())
    }
}

fn request(job: &EncryptJob, operation: Operation, length: usize) -> Request<'_> {
    Request {
        operation,
        key: &job.key,
        length: length + job.aad.len(),
        encryptions: &*job.encryptions,
    }
}
