//! Chooses the recovery step after each error of a job.

use std::mem::replace;

use crate::ekm::KeyManagerFault;
use crate::pkcs11::error_attribution::failure::Proof;
use crate::pkcs11::error_attribution::verdict::Verdict;

/// The recovery steps that were done for a job. Each is done at most once.
#[derive(Default)]
pub(super) struct Recovery {
    has_found_again: bool,
    has_reconnected: bool,
    /// The evidence of the test of the device, if the test was made.
    pub proof: Option<Proof>,
}

/// The next step after an error.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    FindAgain,
    Reconnect,
    Settle,
    Blame(Proof),
    Fail(KeyManagerFault),
}

impl Recovery {
    /// Whether no step was done yet.
    pub(super) fn is_first(&self) -> bool {
        !self.has_found_again && !self.has_reconnected && self.proof.is_none()
    }

    /// Chooses the next step after an error of this class.
    pub(super) fn next(&mut self, verdict: Verdict) -> Step {
        match (verdict, self.proof) {
            (Verdict::Broken, _) => Step::Fail(KeyManagerFault::DeviceFailed),
            (Verdict::InputTooLong, _) => Step::Fail(KeyManagerFault::InputTooLong),
            (Verdict::HandleStale, _) if !replace(&mut self.has_found_again, true) => {
                Step::FindAgain
            }
            (Verdict::SessionLost, _) if !replace(&mut self.has_reconnected, true) => {
                Step::Reconnect
            }
            (_, None) => Step::Settle,
            (_, Some(proof)) => Step::Blame(proof),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_recovery_step_is_done_once_and_errors_are_attributed_after_the_test() {
        let mut recovery = Recovery::default();
        let mut next = |verdict, proof| {
            recovery.proof = proof;
            recovery.next(verdict)
        };
        let proof = Some(Proof::HealthKey);
        assert_eq!(next(Verdict::HandleStale, None), Step::FindAgain);
        assert_eq!(next(Verdict::HandleStale, None), Step::Settle);
        assert_eq!(next(Verdict::SessionLost, proof), Step::Reconnect);
        for verdict in [
            Verdict::HandleStale,
            Verdict::SessionLost,
            Verdict::UsageNotPermitted,
            Verdict::MechanismNotPermitted,
            Verdict::KeyUnsuitable,
            Verdict::Ambiguous,
            Verdict::KeyOrDevice,
        ] {
            assert_eq!(next(verdict, None), Step::Settle, "{verdict:?}");
            assert_eq!(next(verdict, proof), Step::Blame(Proof::HealthKey));
        }
    }
}
