//! What a device's return code means: who is to blame, and what is left of the session (see the profiles of devices in the
//! project's notes: codes differ by vendor).

use cryptoki::error::RvError;
use cryptoki_sys::CKR_AEAD_DECRYPT_FAILED;

use super::ffi::CallError;

/// What a failed call means for the job and for the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The ciphertext is bad, says the device without doubt.
    CiphertextInvalid,
    /// The ciphertext is bad, or the device is: a known-good decryption must tell.
    Ambiguous,
    /// The cached handle is stale: find the key again, once.
    HandleStale,
    /// The key's attributes forbid it.
    UsageNotPermitted,
    /// The key cannot be used with AES-GCM.
    KeyUnsuitable,
    /// The input is longer than the device takes.
    InputTooLong,
    /// Session, login or device is gone: everything must be opened again.
    Fatal,
}

/// Which way the call went: a bad ciphertext is possible in one direction only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Encrypt,
    Decrypt,
}

/// The meaning of `error`.
pub(super) fn verdict(error: CallError, direction: Direction) -> Verdict {
    match error {
        CallError::Returned(code) => verdict_of_code(code, direction),
        CallError::ImpossibleLength(_) | CallError::IvRefused | CallError::NotCallable => {
            Verdict::Fatal
        }
    }
}

fn verdict_of_code(code: RvError, direction: Direction) -> Verdict {
    use RvError as R;
    match code {
        R::EncryptedDataInvalid
        | R::SignatureInvalid
        | R::UnknownErrorCode(CKR_AEAD_DECRYPT_FAILED) => {
            of_ciphertext(direction, Verdict::CiphertextInvalid)
        }
        // These mean a bad tag on one device and a broken device on another.
        R::EncryptedDataLenRange
        | R::DataInvalid
        | R::GeneralError
        | R::FunctionFailed
        | R::ArgumentsBad
        | R::MechanismParamInvalid
        | R::SignatureLenRange
        | R::VendorDefined(_)
        | R::UnknownErrorCode(_) => Verdict::Ambiguous,
        R::KeyHandleInvalid | R::ObjectHandleInvalid | R::KeyChanged => Verdict::HandleStale,
        R::KeyFunctionNotPermitted | R::ActionProhibited => Verdict::UsageNotPermitted,
        R::KeyTypeInconsistent | R::KeySizeRange => Verdict::KeyUnsuitable,
        R::DataLenRange => Verdict::InputTooLong,
        _ => Verdict::Fatal,
    }
}

/// A code that speaks of a ciphertext makes no sense when there was none.
fn of_ciphertext(direction: Direction, verdict: Verdict) -> Verdict {
    match direction {
        Direction::Decrypt => verdict,
        Direction::Encrypt => Verdict::Ambiguous,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every code that a device is known to give, with its meaning for encryption and decryption.
    #[test]
    fn the_table() {
        use RvError as R;
        use Verdict as V;
        for (code, encrypt, decrypt) in [
            (R::EncryptedDataInvalid, V::Ambiguous, V::CiphertextInvalid),
            (
                R::UnknownErrorCode(CKR_AEAD_DECRYPT_FAILED),
                V::Ambiguous,
                V::CiphertextInvalid,
            ),
            (R::SignatureInvalid, V::Ambiguous, V::CiphertextInvalid),
            (R::GeneralError, V::Ambiguous, V::Ambiguous),
            (R::FunctionFailed, V::Ambiguous, V::Ambiguous),
            (R::DataInvalid, V::Ambiguous, V::Ambiguous),
            (R::EncryptedDataLenRange, V::Ambiguous, V::Ambiguous),
            (R::VendorDefined(0x8000_0001), V::Ambiguous, V::Ambiguous),
            (R::KeyHandleInvalid, V::HandleStale, V::HandleStale),
            (R::ObjectHandleInvalid, V::HandleStale, V::HandleStale),
            (
                R::KeyFunctionNotPermitted,
                V::UsageNotPermitted,
                V::UsageNotPermitted,
            ),
            (R::KeyTypeInconsistent, V::KeyUnsuitable, V::KeyUnsuitable),
            (R::DataLenRange, V::InputTooLong, V::InputTooLong),
            (R::DeviceError, V::Fatal, V::Fatal),
            (R::DeviceRemoved, V::Fatal, V::Fatal),
            (R::DeviceMemory, V::Fatal, V::Fatal),
            (R::HostMemory, V::Fatal, V::Fatal),
            (R::TokenNotPresent, V::Fatal, V::Fatal),
            (R::SessionHandleInvalid, V::Fatal, V::Fatal),
            (R::SessionClosed, V::Fatal, V::Fatal),
            (R::UserNotLoggedIn, V::Fatal, V::Fatal),
            (R::CryptokiNotInitialized, V::Fatal, V::Fatal),
            (R::OperationActive, V::Fatal, V::Fatal),
            (R::BufferTooSmall, V::Fatal, V::Fatal),
        ] {
            let of = |direction| verdict(CallError::Returned(code), direction);
            assert_eq!(of(Direction::Encrypt), encrypt, "{code:?}");
            assert_eq!(of(Direction::Decrypt), decrypt, "{code:?}");
        }
        assert_eq!(
            verdict(CallError::ImpossibleLength(9), Direction::Decrypt),
            V::Fatal
        );
    }
}
