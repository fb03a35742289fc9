//! How calls of a module, and loading one, fail.
//!
//! # Invariants
//! - `cryptoki`'s error type is not used: its texts are prose for programmers. Each call returns [`Error`].

use std::fmt;

use cryptoki::context::Function;
use cryptoki::error::RvError;
use thiserror::Error as ThisError;

use super::codes;

/// Why a call of the module gave no result.
#[derive(Clone, Debug)]
pub(in crate::pkcs11) enum Error {
    /// The function returned a code that is not `CKR_OK`.
    Pkcs11(RvError, Function),
    /// The module does not have the function.
    Missing,
    /// The module's answer is not what PKCS#11 promises.
    Malformed,
}

impl Error {
    /// The code that the function returned, if it was called.
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
            Self::Pkcs11(code, function) => f.write_str(&codes::in_words(*code, *function)),
            Self::Missing => f.write_str("the module does not have the function"),
            Self::Malformed => f.write_str("the module's answer is not valid PKCS#11"),
        }
    }
}

impl std::error::Error for Error {}

/// Why a call gave no result.
#[derive(Clone, Copy, Debug, ThisError)]
pub(in crate::pkcs11) enum CallError {
    /// The function returned a code that is not `CKR_OK`.
    #[error("{}", codes::in_words(*.0, *.1))]
    Returned(RvError, Function),
    /// The module returned `CKR_OK` with an output that no working device gives.
    #[error("{0}")]
    Wrong(Violation),
    /// The module used another IV than ours: the device is not of this GCM profile.
    #[error("the module replaced the IV; nothing was sent")]
    IvReplaced,
    /// The module has no such function, or a length does not fit its integers.
    #[error("the module cannot make this call")]
    NotCallable,
}

/// How an output is wrong although the module reported success. What was encrypted so is lost, or is not secret: nothing of it leaves the
/// proxy, and a device that serves is not used any more.
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
    /// A ciphertext decrypts to another plaintext, or no longer decrypts.
    #[error("its ciphertexts do not decrypt to their plaintext")]
    NotDecryptable,
}

/// Which function returned a code makes no difference.
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

/// Why a library is no PKCS#11 module.
#[derive(Debug, ThisError)]
pub(in crate::pkcs11) enum LoadError {
    /// The dynamic linker refuses it.
    #[error("cannot be loaded: {0}")]
    Library(String),
    /// It does not give a function list.
    #[error("is not a PKCS#11 module (C_GetFunctionList is missing or fails)")]
    NoFunctionList,
}

/// Whether an error of a call says that the session, the device or the library is gone, and not the object of the call.
pub(in crate::pkcs11) fn is_about_the_device(error: &Error) -> bool {
    match error {
        Error::Pkcs11(code, _) => is_code_of_the_device(*code),
        _ => true,
    }
}

/// Whether a code says that the session, the device or the library is gone.
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

/// Whether the session or the login is gone, and only that.
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
    fn an_error_has_name_number_and_function_and_not_the_prose_of_the_crate() {
        let error = Error::Pkcs11(RvError::GeneralError, Function::Initialize);
        let call = CallError::from(error.clone());
        for shown in [error.to_string(), call.to_string()] {
            let start = "CKR_GENERAL_ERROR (0x5) in C_Initialize: ";
            assert!(shown.starts_with(start), "{shown}");
            assert!(!shown.contains("horrible"), "{shown}");
        }
    }
}
