//! Errors of jobs, and whether the device, the key or the request caused them.

use super::error_class::{ErrorClass, classify};
use crate::ekm::{EncryptionCount, KeyManagerFault, KeySelector};
use crate::pkcs11::keys::table::FindError;
use crate::pkcs11::library::errors::CallError;

/// The length in bytes that each device must accept in one call, plaintext and AAD together (XKS API, Encrypt). A device that calls a
/// shorter input too long has another problem.
const NEVER_TOO_LONG: usize = 4_300 + 8_192;

/// The operation of a job. Only `Decrypt` has a ciphertext that can be invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::pkcs11) enum Operation {
    Encrypt,
    Decrypt,
    Describe,
}

/// Why a job failed.
#[derive(Debug)]
pub(in crate::pkcs11) struct Failure {
    pub fault: KeyManagerFault,
    pub detail: String,
    /// True if the device failed.
    pub fatal: bool,
    /// The return code as metrics show it, if the HSM rejects the key.
    pub rejected_with: Option<String>,
}

impl Failure {
    /// A failure that affects only this job.
    pub(in crate::pkcs11) fn job(fault: KeyManagerFault, detail: impl Into<String>) -> Self {
        Self {
            fault,
            detail: detail.into(),
            fatal: false,
            rejected_with: None,
        }
    }

    /// A failure whose cause is clear without a test.
    pub(in crate::pkcs11) fn unambiguous(fault: KeyManagerFault, error: CallError) -> Self {
        match fault {
            KeyManagerFault::DeviceFailed => Self::device(error.to_string()),
            _ => Self::job(fault, error.to_string()),
        }
    }

    /// A failure of the device, which affects all jobs.
    pub(in crate::pkcs11) fn device(detail: impl Into<String>) -> Self {
        Self {
            fatal: true,
            ..Self::job(KeyManagerFault::DeviceFailed, detail)
        }
    }
}

/// The properties of a job that the attribution of an error depends on.
#[derive(Clone, Copy)]
pub(in crate::pkcs11) struct Request<'a> {
    pub operation: Operation,
    pub key: &'a KeySelector,
    /// The length of plaintext or ciphertext plus AAD, in bytes.
    pub length: usize,
    /// Counts encryptions under the key.
    pub encryptions: &'a dyn EncryptionCount,
}

impl Request<'_> {
    /// Returns whether `error` may mean that the ciphertext fails authentication.
    pub(in crate::pkcs11) fn may_be_invalid_ciphertext(self, error: CallError) -> bool {
        self.operation == Operation::Decrypt && self.class(error) == ErrorClass::Ambiguous
    }

    /// Classifies `error` for this job.
    pub(in crate::pkcs11) fn class(self, error: CallError) -> ErrorClass {
        match classify(error) {
            ErrorClass::InputTooLong if self.length <= NEVER_TOO_LONG => ErrorClass::Ambiguous,
            class => class,
        }
    }
}

/// Evidence that a device works after it returned an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::pkcs11) enum Evidence {
    /// The device works with the key of the job.
    ThisKey,
    /// The device works with the health key.
    HealthKey,
    /// No evidence: the device has no health key.
    Nothing,
}

/// The error of a step of a job.
#[derive(Debug)]
pub(in crate::pkcs11) enum StepError {
    /// The cause is known.
    Attributed(Failure),
    /// The device returned an error whose cause must be tested first.
    Unattributed(CallError),
}

/// Converts the error of a key search.
pub(in crate::pkcs11) fn lookup_error(error: FindError, selector: &KeySelector) -> StepError {
    let (fault, problem) = match error {
        FindError::Absent => (KeyManagerFault::KeyAbsent, "has no key"),
        FindError::Ambiguous => (KeyManagerFault::KeyAmbiguous, "has several keys"),
        FindError::Unreadable(error) | FindError::Call(error) => {
            return StepError::Unattributed(error.into());
        }
    };
    let detail = format!("the token {problem} with {selector}");
    StepError::Attributed(Failure::job(fault, detail))
}
