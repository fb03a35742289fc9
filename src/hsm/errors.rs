//! How calls of a module, and loading one, fail.

use cryptoki::error::{Error as Pkcs11Error, RvError};
use thiserror::Error;

/// Why a call gave no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum CallError {
    /// The module returned something else than `CKR_OK`.
    #[error("{0:?}")]
    Returned(RvError),
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum Violation {
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

impl From<Pkcs11Error> for CallError {
    fn from(error: Pkcs11Error) -> Self {
        match error {
            Pkcs11Error::Pkcs11(code, _) => Self::Returned(code),
            _ => Self::NotCallable,
        }
    }
}

/// Why a library is no PKCS#11 module.
#[derive(Debug, Error)]
pub(super) enum LoadError {
    /// The dynamic linker refuses it.
    #[error("cannot be loaded: {0}")]
    Library(String),
    /// It does not give a function list.
    #[error("is not a PKCS#11 module (C_GetFunctionList is missing or fails)")]
    NoFunctionList,
}
