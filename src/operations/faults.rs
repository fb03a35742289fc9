//! Maps the errors of an HSM to those of the specification, row by row.

use crate::ekm::{KeyManagerError, KeyManagerFault};
use crate::xks::{Fault, FaultKind};

/// Returns the error for the response. The text of the HSM's error is the reason, which only the operator sees.
pub(super) fn fault_of(error: KeyManagerError) -> Fault {
    Fault::because(kind_of(error.fault), error.to_string())
}

fn kind_of(fault: KeyManagerFault) -> FaultKind {
    match fault {
        KeyManagerFault::CiphertextInvalid => FaultKind::CiphertextInvalid,
        KeyManagerFault::KeyAbsent => FaultKind::KeyAbsent,
        KeyManagerFault::KeyAmbiguous => FaultKind::KeyAmbiguous,
        KeyManagerFault::UsageNotPermitted => FaultKind::UsageNotPermitted,
        KeyManagerFault::KeyUnsuitable => FaultKind::KeyUnsuitable,
        KeyManagerFault::KeyFailed => FaultKind::KeyFailed,
        KeyManagerFault::KeyBlocked => FaultKind::KeyBlocked,
        KeyManagerFault::InputTooLong => FaultKind::FieldTooLong("the value"),
        KeyManagerFault::QueueFull => FaultKind::Overloaded,
        KeyManagerFault::DeadlinePassed => FaultKind::DeadlinePassed,
        KeyManagerFault::DeviceUnavailable | KeyManagerFault::DeviceFailed => {
            FaultKind::DeviceFailed
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retryable_hsm_errors_are_retryable_for_kms() {
        for fault in KeyManagerFault::ALL {
            let name = kind_of(fault).name();
            assert_eq!(
                name.is_retryable(),
                fault.is_retryable(),
                "{fault:?} → {name:?}"
            );
        }
    }
}
