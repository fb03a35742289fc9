//! How a job fails on a device, and who is to blame.

use super::blame::{Verdict, verdict};
use super::errors::CallError;
use super::keys::FindError;
use super::token;
use crate::ekm::{KeyManagerFault, KeySelector};

/// The least that a device must take in one call, plaintext and AAD together (XKS API, Encrypt): "too long" is not believed
/// of less.
const NEVER_TOO_LONG: usize = 4_300 + 8_192;

/// Which way a job goes: a bad ciphertext is possible in one direction only.
#[derive(Clone, Copy)]
pub(super) enum Direction {
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
    pub lost_session: bool,
}

impl Failure {
    /// A failure of this job and no other.
    pub(super) fn of_job(fault: KeyManagerFault, detail: impl Into<String>) -> Self {
        Self {
            fault,
            detail: detail.into(),
            fatal: false,
            lost_session: false,
        }
    }

    /// A failure of the device.
    pub(super) fn of_device(detail: impl Into<String>) -> Self {
        Self {
            fault: KeyManagerFault::DeviceFailed,
            detail: detail.into(),
            fatal: true,
            lost_session: false,
        }
    }
}

/// What the blame depends on besides the code.
#[derive(Clone, Copy)]
pub(super) struct JobKind {
    pub direction: Direction,
    /// Plaintext or ciphertext, and AAD, in bytes.
    pub length: usize,
}

impl JobKind {
    /// What `error` means for this job.
    pub(super) fn verdict(self, error: CallError) -> Verdict {
        match verdict(error) {
            Verdict::InputTooLong if self.length <= NEVER_TOO_LONG => Verdict::Ambiguous,
            verdict => verdict,
        }
    }
}

/// Who is to blame, when nothing more is to be mended. An ambiguous code has come twice by then, with a device that works.
pub(super) fn judged(error: CallError, verdict: Verdict, direction: Direction) -> Failure {
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

/// A key that was not found.
pub(super) fn failure_of_find(error: FindError, selector: &KeySelector) -> Failure {
    match error {
        FindError::Absent => Failure::of_job(
            KeyManagerFault::KeyAbsent,
            format!("the token has no key with {selector}"),
        ),
        FindError::Ambiguous => Failure::of_job(
            KeyManagerFault::KeyAmbiguous,
            format!("the token has several keys with {selector}"),
        ),
        FindError::Unreadable(error) => Failure::of_job(
            KeyManagerFault::DeviceFailed,
            format!("the key with {selector} cannot be read: {error}"),
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
