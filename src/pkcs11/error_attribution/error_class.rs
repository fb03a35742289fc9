//! The possible meanings of a return code for a job. Vendors use different codes for the same error.
//!
//! # Invariants
//! - No code alone means that the device failed. `sessions/device_session/attribution.rs` tests the device with the health key, on the
//!   same session.

use cryptoki::error::RvError;
use cryptoki_sys::{CKR_PARAMETER_SET_NOT_SUPPORTED, CKR_TOKEN_RESOURCE_EXCEEDED};

use crate::pkcs11::library::errors::CallError;
use crate::pkcs11::library::errors::is_about_the_session;

/// The possible causes of a failed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::pkcs11) enum ErrorClass {
    /// The cached handle is stale. The key is searched for again, once.
    HandleStale,
    /// The session or the login is lost. Both are restored in place, once.
    SessionLost,
    /// The key's attributes or the token's policy for this key forbid the operation.
    UsageNotPermitted,
    /// The key, or the whole token, does not allow AES-GCM.
    MechanismNotPermitted,
    /// The key cannot be used with AES-GCM.
    KeyUnsuitable,
    /// The input is longer than the device accepts.
    InputTooLong,
    /// An invalid ciphertext, the key or the device. No code is unambiguous: broken devices have returned each code that means a wrong tag
    /// on other devices.
    Ambiguous,
    /// The key or the device.
    KeyOrDevice,
    /// The device reported success with an output that AES-GCM cannot have. No test with another key can refute that.
    Broken,
}

impl ErrorClass {
    /// Returns whether the key is the cause, provided that the device works.
    pub(in crate::pkcs11) fn is_about_the_key_only(self) -> bool {
        matches!(
            self,
            Self::UsageNotPermitted | Self::MechanismNotPermitted | Self::KeyUnsuitable
        )
    }
}

/// Classifies an error.
pub(in crate::pkcs11) fn classify(error: CallError) -> ErrorClass {
    match error {
        CallError::Returned(code, _) => classify_code(code),
        CallError::Wrong(_) | CallError::IvReplaced => ErrorClass::Broken,
        CallError::NotCallable => ErrorClass::KeyOrDevice,
    }
}

fn classify_code(code: RvError) -> ErrorClass {
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
        | R::VendorDefined(_) => ErrorClass::Ambiguous,
        // The crate has no names for codes that are newer than PKCS#11 3.0.
        R::UnknownErrorCode(CKR_TOKEN_RESOURCE_EXCEEDED..=CKR_PARAMETER_SET_NOT_SUPPORTED) => {
            ErrorClass::KeyOrDevice
        }
        R::UnknownErrorCode(_) => ErrorClass::Ambiguous,
        R::KeyHandleInvalid | R::ObjectHandleInvalid | R::KeyChanged => ErrorClass::HandleStale,
        R::KeyFunctionNotPermitted | R::ActionProhibited => ErrorClass::UsageNotPermitted,
        // A token returns this for a key whose CKA_ALLOWED_MECHANISMS lacks AES-GCM.
        R::MechanismInvalid => ErrorClass::MechanismNotPermitted,
        R::KeyTypeInconsistent | R::KeySizeRange => ErrorClass::KeyUnsuitable,
        R::DataLenRange => ErrorClass::InputTooLong,
        code if is_about_the_session(code) => ErrorClass::SessionLost,
        _ => ErrorClass::KeyOrDevice,
    }
}

/// The metric label of an error: the standard's name of a return code, `vendor`, `unknown` or `other`.
pub(in crate::pkcs11) fn label(error: CallError) -> String {
    match error {
        CallError::Returned(RvError::VendorDefined(_), _) => "vendor".to_owned(),
        CallError::Returned(RvError::UnknownErrorCode(_), _) => "unknown".to_owned(),
        CallError::Returned(code, _) => name(&format!("{code:?}")),
        CallError::Wrong(_) | CallError::IvReplaced | CallError::NotCallable => "other".to_owned(),
    }
}

/// Returns `CKR_KEY_SIZE_RANGE` for `KeySizeRange`.
fn name(variant: &str) -> String {
    let mut name = "CKR".to_owned();
    for letter in variant.chars() {
        if letter.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

#[cfg(test)]
mod tests;
