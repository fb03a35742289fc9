//! What a device's return code means: who is to blame, and what is left of the session (see the profiles of devices in the
//! project's notes: codes differ by vendor).

use cryptoki::error::RvError;

use super::errors::CallError;
use super::token::is_about_the_session;

/// What a failed call means for the job and for the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The ciphertext is bad, or the device is: a known-good decryption must tell. No code says it without doubt: each that
    /// stands for a wrong tag on one device has been seen from a broken one.
    Ambiguous,
    /// The cached handle is stale: find the key again, once.
    HandleStale,
    /// The key's attributes forbid it.
    UsageNotPermitted,
    /// The key cannot be used with AES-GCM.
    KeyUnsuitable,
    /// The input is longer than the device takes.
    InputTooLong,
    /// The session or the login is gone: both can be had again in place.
    SessionLost,
    /// The device is gone: everything must be opened again.
    Fatal,
}

/// The meaning of `error`.
pub(super) fn verdict(error: CallError) -> Verdict {
    match error {
        CallError::Returned(code) => verdict_of_code(code),
        CallError::Wrong(_) | CallError::IvReplaced | CallError::NotCallable => Verdict::Fatal,
    }
}

fn verdict_of_code(code: RvError) -> Verdict {
    use RvError as R;
    match code {
        R::EncryptedDataInvalid
        | R::SignatureInvalid
        | R::EncryptedDataLenRange
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
        code if is_about_the_session(code) => Verdict::SessionLost,
        _ => Verdict::Fatal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hsm::errors::Violation;

    /// Every code that a device is known to give, with its meaning.
    #[test]
    fn the_table() {
        use RvError as R;
        use Verdict as V;
        for (code, meaning) in [
            (R::EncryptedDataInvalid, V::Ambiguous),
            (
                R::UnknownErrorCode(cryptoki_sys::CKR_AEAD_DECRYPT_FAILED),
                V::Ambiguous,
            ),
            (R::SignatureInvalid, V::Ambiguous),
            (R::GeneralError, V::Ambiguous),
            (R::FunctionFailed, V::Ambiguous),
            (R::DataInvalid, V::Ambiguous),
            (R::EncryptedDataLenRange, V::Ambiguous),
            (R::VendorDefined(0x8000_0001), V::Ambiguous),
            (R::KeyHandleInvalid, V::HandleStale),
            (R::ObjectHandleInvalid, V::HandleStale),
            (R::KeyFunctionNotPermitted, V::UsageNotPermitted),
            (R::KeyTypeInconsistent, V::KeyUnsuitable),
            (R::DataLenRange, V::InputTooLong),
            (R::DeviceError, V::Fatal),
            (R::DeviceRemoved, V::Fatal),
            (R::DeviceMemory, V::Fatal),
            (R::HostMemory, V::Fatal),
            (R::TokenNotPresent, V::Fatal),
            (R::SessionHandleInvalid, V::SessionLost),
            (R::SessionClosed, V::SessionLost),
            (R::UserNotLoggedIn, V::SessionLost),
            (R::CryptokiNotInitialized, V::Fatal),
            (R::OperationActive, V::Fatal),
            (R::BufferTooSmall, V::Fatal),
        ] {
            assert_eq!(verdict(CallError::Returned(code)), meaning, "{code:?}");
        }
        let wrong = CallError::Wrong(Violation::Length(9));
        assert_eq!(verdict(wrong), V::Fatal);
    }
}
