//! How a job fails on a device, and who is to blame.

use super::verdict::{Verdict, verdict};
use crate::ekm::{EncryptionCount, KeyManagerFault, KeySelector};
use crate::pkcs11::keys::table::FindError;
use crate::pkcs11::library::errors::CallError;

/// The least that a device must take in one call, plaintext and AAD together (XKS API, Encrypt): "too long" is not believed
/// of less.
const NEVER_TOO_LONG: usize = 4_300 + 8_192;

/// What a job asks for. A bad ciphertext is possible in one of them only.
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
    /// Whether the device is gone with it.
    pub fatal: bool,
    /// If the HSM rejects the key: its return code, as metrics name it.
    pub rejected_with: Option<String>,
}

impl Failure {
    /// A failure of this job and no other.
    pub(in crate::pkcs11) fn of_job(fault: KeyManagerFault, detail: impl Into<String>) -> Self {
        Self {
            fault,
            detail: detail.into(),
            fatal: false,
            rejected_with: None,
        }
    }

    /// A failure that needs no settlement.
    pub(in crate::pkcs11) fn certain(fault: KeyManagerFault, error: CallError) -> Self {
        match fault {
            KeyManagerFault::DeviceFailed => Self::of_device(error.to_string()),
            _ => Self::of_job(fault, error.to_string()),
        }
    }

    /// A failure of the device.
    pub(in crate::pkcs11) fn of_device(detail: impl Into<String>) -> Self {
        Self {
            fatal: true,
            ..Self::of_job(KeyManagerFault::DeviceFailed, detail)
        }
    }
}

/// What the blame depends on besides the code.
#[derive(Clone, Copy)]
pub(in crate::pkcs11) struct Request<'a> {
    pub operation: Operation,
    pub key: &'a KeySelector,
    /// Plaintext or ciphertext, and AAD, in bytes.
    pub length: usize,
    /// Counts encryptions under the key.
    pub encryptions: &'a dyn EncryptionCount,
}

impl Request<'_> {
    /// Whether `error` may mean that the ciphertext does not authenticate.
    pub(in crate::pkcs11) fn may_be_the_ciphertext(self, error: CallError) -> bool {
        self.operation == Operation::Decrypt && self.verdict(error) == Verdict::Ambiguous
    }

    /// What `error` may mean for this job.
    pub(in crate::pkcs11) fn verdict(self, error: CallError) -> Verdict {
        match verdict(error) {
            Verdict::InputTooLong if self.length <= NEVER_TOO_LONG => Verdict::Ambiguous,
            verdict => verdict,
        }
    }
}

/// What is known of a device that has returned an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::pkcs11) enum Proof {
    /// It works with the key of the job.
    ThisKey,
    /// It works with its health key.
    HealthKey,
    /// Nothing: it has no health key.
    Nothing,
}

/// A step of a job that did not work.
#[derive(Debug)]
pub(in crate::pkcs11) enum Trouble {
    /// It is clear who is to blame.
    Blamed(Failure),
    /// The device returned an error: nobody may be blamed before it is settled.
    Unsettled(CallError),
}

/// A key that was not found.
pub(in crate::pkcs11) fn trouble_of_find(error: FindError, selector: &KeySelector) -> Trouble {
    let (fault, problem) = match error {
        FindError::Absent => (KeyManagerFault::KeyAbsent, "has no key"),
        FindError::Ambiguous => (KeyManagerFault::KeyAmbiguous, "has several keys"),
        FindError::Unreadable(error) | FindError::Call(error) => {
            return Trouble::Unsettled(error.into());
        }
    };
    let detail = format!("the token {problem} with {selector}");
    Trouble::Blamed(Failure::of_job(fault, detail))
}
