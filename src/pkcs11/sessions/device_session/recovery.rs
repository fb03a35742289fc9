//! Chooses the recovery step after each error of a job.

use std::mem::replace;

use crate::ekm::KeyManagerFault;
use crate::pkcs11::error_attribution::error_class::ErrorClass;
use crate::pkcs11::error_attribution::failure::Evidence;

/// The recovery steps that were done for a job. Each is done at most once.
#[derive(Default)]
pub(super) struct Recovery {
    has_found_again: bool,
    has_reconnected: bool,
    /// The evidence of the test of the device, if the test was made.
    pub evidence: Option<Evidence>,
}

/// The next step after an error.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    FindAgain,
    Reconnect,
    TestDevice,
    Attribute(Evidence),
    Fail(KeyManagerFault),
}

impl Recovery {
    /// Returns whether no step was done yet.
    pub(super) fn is_first(&self) -> bool {
        !self.has_found_again && !self.has_reconnected && self.evidence.is_none()
    }

    /// Chooses the next step after an error of this class.
    pub(super) fn next(&mut self, class: ErrorClass) -> Step {
        match (class, self.evidence) {
            (ErrorClass::Broken, _) => Step::Fail(KeyManagerFault::DeviceFailed),
            (ErrorClass::InputTooLong, _) => Step::Fail(KeyManagerFault::InputTooLong),
            (ErrorClass::HandleStale, _) if !replace(&mut self.has_found_again, true) => {
                Step::FindAgain
            }
            (ErrorClass::SessionLost, _) if !replace(&mut self.has_reconnected, true) => {
                Step::Reconnect
            }
            (_, None) => Step::TestDevice,
            (_, Some(evidence)) => Step::Attribute(evidence),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_recovery_step_is_done_once_and_errors_are_attributed_after_the_test() {
        let mut recovery = Recovery::default();
        let mut next = |class, evidence| {
            recovery.evidence = evidence;
            recovery.next(class)
        };
        let evidence = Some(Evidence::HealthKey);
        assert_eq!(next(ErrorClass::HandleStale, None), Step::FindAgain);
        assert_eq!(next(ErrorClass::HandleStale, None), Step::TestDevice);
        assert_eq!(next(ErrorClass::SessionLost, evidence), Step::Reconnect);
        for class in [
            ErrorClass::HandleStale,
            ErrorClass::SessionLost,
            ErrorClass::UsageNotPermitted,
            ErrorClass::MechanismNotPermitted,
            ErrorClass::KeyUnsuitable,
            ErrorClass::Ambiguous,
            ErrorClass::KeyOrDevice,
        ] {
            assert_eq!(next(class, None), Step::TestDevice, "{class:?}");
            assert_eq!(next(class, evidence), Step::Attribute(Evidence::HealthKey));
        }
    }
}
