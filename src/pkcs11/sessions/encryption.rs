//! Encrypts on a session, and verifies the ciphertext.
//!
//! # Invariants
//! - A verification decrypts the buffers that are returned, on the same session, and compares the result with the plaintext. The digest
//!   is computed over these buffers before (XKS API, Encrypt: encrypt, compute the CDIV, decrypt and compare, respond).
//! - A device that decrypts a ciphertext to a different plaintext loses trust. So does a device that cannot decrypt its own ciphertext
//!   although it could decrypt with this key before. If it never could, the key may be the cause, and other keys are served.

use super::device_session::{DeviceSession, count_encryption};
use crate::ekm::{EncryptJob, Encrypted, KeyHistory, KeyManagerFault, KeyUsageFlags};
use crate::pkcs11::error_attribution::failure::{Failure, Operation, Request};
use crate::pkcs11::health_key::check::joined;
use crate::pkcs11::library::errors::Violation;
use crate::secret::constant_time_eq;

/// The number of repetitions after a ciphertext that does not decrypt to its plaintext. One: a device that fails twice in a row must not
/// be trusted with data.
const REPETITIONS: u32 = 1;

/// The result of decrypting a new ciphertext.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verification {
    /// The result is the plaintext.
    Same,
    /// The result is a different plaintext.
    Different,
    /// The ciphertext fails authentication.
    NotAuthentic,
}

impl DeviceSession {
    /// Encrypts. Verifies the ciphertext if the job or the configuration requires it.
    pub(in crate::pkcs11) fn encrypt(&mut self, job: &EncryptJob) -> Result<Encrypted, Failure> {
        if !self.must_verify(job) {
            return self.seal(job);
        }
        let mut worst = Verification::NotAuthentic;
        for _ in 0..=REPETITIONS {
            let mut encrypted = self.seal(job)?;
            encrypted.digest = job
                .digest
                .as_ref()
                .map(|digest| digest.of(&encrypted.iv, &encrypted.ciphertext, &encrypted.tag));
            match self.verify(job, &encrypted)? {
                Verification::Same => {
                    self.history(job).note_decryption();
                    return Ok(encrypted);
                }
                Verification::Different => worst = Verification::Different,
                Verification::NotAuthentic => {}
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

    fn seal(&mut self, job: &EncryptJob) -> Result<Encrypted, Failure> {
        let must_decrypt = job.must_decrypt || self.must_verify(job);
        let (worker, tally) = (self.worker.clone(), self.tally.clone());
        self.with_key(
            request(job, Operation::Encrypt, job.plaintext.len()),
            |usage: &KeyUsageFlags| usage.encrypt && (usage.decrypt || !must_decrypt),
            || tally.begin(Operation::Encrypt, job.deadline),
            |device, key| {
                let history = worker.history.of(&job.key);
                let (session, plaintext) = (&device.session, job.plaintext.expose());
                let encrypted =
                    device
                        .gcm
                        .encrypt(session, key.handle, Some(history), &job.aad, plaintext);
                count_encryption(&encrypted, &*job.encryptions);
                worker.watched(encrypted)
            },
        )
    }

    fn verify(&mut self, job: &EncryptJob, encrypted: &Encrypted) -> Result<Verification, Failure> {
        let (worker, tally, input) = (self.worker.clone(), self.tally.clone(), joined(encrypted));
        let opened = self.with_key(
            request(job, Operation::Decrypt, input.len()),
            |usage| usage.decrypt,
            || tally.begin(Operation::Decrypt, job.deadline),
            |device, key| {
                let (session, iv) = (&device.session, &encrypted.iv);
                let opened = device
                    .gcm
                    .decrypt(session, key.handle, iv, &job.aad, &input);
                worker.watched(opened)
            },
        );
        match opened {
            Ok(opened) if constant_time_eq(opened.expose(), job.plaintext.expose()) => {
                Ok(Verification::Same)
            }
            Ok(_) => Ok(Verification::Different),
            // The device made this ciphertext, so the device or the key caused the error, not the caller.
            Err(failure) if failure.fault == KeyManagerFault::CiphertextInvalid => {
                Ok(Verification::NotAuthentic)
            }
            Err(failure) => Err(failure),
        }
    }

    fn not_decryptable(&self, job: &EncryptJob, worst: Verification) -> Failure {
        let violation = Violation::NotDecryptable;
        if worst == Verification::Different || self.history(job).has_decrypted() {
            self.worker.distrust(violation);
        }
        Failure::job(KeyManagerFault::DeviceFailed, violation.to_string())
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
