//! How calls of a module, and loading one, fail.

use cryptoki::error::{Error as Pkcs11Error, RvError};
use thiserror::Error;

/// Why a call gave no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum CallError {
    /// The module returned something else than `CKR_OK`.
    #[error("{0:?}")]
    Returned(RvError),
    /// The module's output has a length that GCM cannot have.
    #[error("the module reports an output of {0} bytes, which is impossible")]
    ImpossibleLength(u64),
    /// The IV is all zero, the same as the one before, or another than ours.
    #[error("the IV guard refused the IV; nothing was sent")]
    IvRefused,
    /// The module has no such function, or a length does not fit its integers.
    #[error("the module cannot make this call")]
    NotCallable,
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
