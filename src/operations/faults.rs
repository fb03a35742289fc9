//! From a key manager's fault to the specification's: row by row.

use crate::ekm::{KeyManagerError, KeyManagerFault};
use crate::xks::{Fault, FaultKind};

/// The fault that the outside sees; the device's own words stay with the operator.
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
    fn what_is_retryable_here_is_retryable_for_kms() {
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
