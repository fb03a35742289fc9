//! What is done about the errors of one job, one after the other.

use std::mem::replace;

use crate::ekm::KeyManagerFault;
use crate::pkcs11::error_attribution::failure::Proof;
use crate::pkcs11::error_attribution::verdict::Verdict;

/// What was already done for a job, each at most once.
#[derive(Default)]
pub(super) struct Recovery {
    has_found_again: bool,
    has_reconnected: bool,
    /// What was proven of the device, once an error was settled.
    pub proof: Option<Proof>,
}

/// What to do about an error.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    FindAgain,
    Reconnect,
    Settle,
    Blame(Proof),
    Fail(KeyManagerFault),
}

impl Recovery {
    /// Whether nothing was done yet.
    pub(super) fn is_first(&self) -> bool {
        !self.has_found_again && !self.has_reconnected && self.proof.is_none()
    }

    /// What to do about an error of this meaning.
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
    fn each_remedy_is_tried_once_and_nobody_is_blamed_before_the_health_key_was_tried() {
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
