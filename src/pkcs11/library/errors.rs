//! Errors of loading a PKCS#11 module and of calling it.
//!
//! # Invariants
//! - Each call returns [`Error`], not the error type of `cryptoki`, whose texts do not help operators.

use std::fmt;

use cryptoki::context::Function;
use cryptoki::error::RvError;
use thiserror::Error as ThisError;

use super::codes;

/// Why a call of the module failed.
#[derive(Clone, Debug)]
pub(in crate::pkcs11) enum Error {
    /// The function returned a code that is not `CKR_OK`.
    Pkcs11(RvError, Function),
    /// The module does not have the function.
    Missing,
    /// The module's answer violates PKCS#11.
    Malformed,
}

impl Error {
    /// Returns the code that the function returned, if it was called.
    pub(in crate::pkcs11) fn code(&self) -> Option<RvError> {
        match self {
            Self::Pkcs11(code, _) => Some(*code),
            Self::Missing | Self::Malformed => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pkcs11(code, function) => f.write_str(&codes::describe(*code, *function)),
            Self::Missing => f.write_str("the module does not have the function"),
            Self::Malformed => f.write_str("the module's answer is not valid PKCS#11"),
        }
    }
}

impl std::error::Error for Error {}

/// Why an encryption or decryption failed.
#[derive(Clone, Copy, Debug, ThisError)]
pub(in crate::pkcs11) enum CallError {
    /// The function returned a code that is not `CKR_OK`.
    #[error("{}", codes::describe(*.0, *.1))]
    Returned(RvError, Function),
    /// The module returned `CKR_OK` with an output that no working device returns.
    #[error("{0}")]
    Wrong(Violation),
    /// The module replaced the IV that was passed to it. The device does not have this GCM profile.
    #[error("the module replaced the IV; the ciphertext was not used")]
    IvReplaced,
    /// The module has no such function, or a length does not fit its integers.
    #[error("the module cannot make this call")]
    NotCallable,
}

/// Why an output is wrong although the module reported success. Such a ciphertext cannot be decrypted, or is not secret. The proxy never
/// returns it, and stops using a device that served until then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ThisError)]
pub(in crate::pkcs11) enum Violation {
    /// AES-GCM cannot have an output of this length.
    #[error("it returned an output of {0} bytes, which AES-GCM cannot have")]
    Length(u64),
    /// The IV is all zero.
    #[error("its IV is all zero")]
    ZeroIv,
    /// The IV is one of the last IVs of the same key.
    #[error("it used an IV twice for one key")]
    RepeatedIv,
    /// The ciphertext is the plaintext.
    #[error("its ciphertext equals the plaintext")]
    NotEncrypted,
    /// The tag is all zero.
    #[error("its authentication tag is all zero")]
    ZeroTag,
    /// A ciphertext decrypts to a different plaintext, or does not decrypt.
    #[error("its ciphertexts do not decrypt to their plaintext")]
    NotDecryptable,
}

/// Compares codes only, not the functions that returned them.
impl PartialEq for CallError {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Returned(one, _), Self::Returned(other, _)) => one == other,
            (Self::Wrong(one), Self::Wrong(other)) => one == other,
            (Self::IvReplaced, Self::IvReplaced) | (Self::NotCallable, Self::NotCallable) => true,
            _ => false,
        }
    }
}

impl Eq for CallError {}

impl From<Error> for CallError {
    fn from(error: Error) -> Self {
        match error {
            Error::Pkcs11(code, function) => Self::Returned(code, function),
            Error::Missing | Error::Malformed => Self::NotCallable,
        }
    }
}

/// Why a file cannot be loaded as a PKCS#11 module.
#[derive(Debug, ThisError)]
pub(in crate::pkcs11) enum LoadError {
    /// The dynamic linker rejects it.
    #[error("cannot be loaded: {0}")]
    Library(String),
    /// It does not return a function list.
    #[error("is not a PKCS#11 module (C_GetFunctionList is missing or fails)")]
    NoFunctionList,
}

/// Returns whether the error concerns the session, the device or the library, and not the object of the call.
pub(in crate::pkcs11) fn is_about_the_device(error: &Error) -> bool {
    match error {
        Error::Pkcs11(code, _) => is_code_of_the_device(*code),
        _ => true,
    }
}

/// Returns whether the code means that the session, the device or the library is lost.
pub(in crate::pkcs11) fn is_code_of_the_device(code: RvError) -> bool {
    is_about_the_session(code)
        || matches!(
            code,
            RvError::CryptokiNotInitialized
                | RvError::DeviceError
                | RvError::DeviceRemoved
                | RvError::DeviceMemory
                | RvError::TokenNotPresent
                | RvError::SessionCount
        )
}

/// Returns whether the code means that only the session or the login is lost.
pub(in crate::pkcs11) fn is_about_the_session(code: RvError) -> bool {
    matches!(
        code,
        RvError::SessionHandleInvalid | RvError::SessionClosed | RvError::UserNotLoggedIn
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_shown_by_name_number_and_function_without_text_of_the_crate() {
        let error = Error::Pkcs11(RvError::GeneralError, Function::Initialize);
        let call = CallError::from(error.clone());
        for shown in [error.to_string(), call.to_string()] {
            let start = "CKR_GENERAL_ERROR (0x5) in C_Initialize: ";
            assert!(shown.starts_with(start), "{shown}");
            assert!(!shown.contains("horrible"), "{shown}");
        }
    }
}
