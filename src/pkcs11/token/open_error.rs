//! Why a token cannot be opened, or fails its check.

use cryptoki::context::Function;
use cryptoki::error::RvError;
use thiserror::Error as ThisError;

use crate::hsm_protocol::PinError;
use crate::pkcs11::library::codes;
use crate::pkcs11::library::errors::{
    CallError, Error, is_about_the_session, is_code_of_the_device,
};
use crate::pkcs11::library::module::ModuleError;

/// Why a device cannot be opened, in words for an operator.
#[derive(Debug, ThisError)]
pub(in crate::pkcs11) enum OpenError {
    /// The library.
    #[error(transparent)]
    Module(#[from] ModuleError),
    /// No token of this name is there.
    #[error("no token with {0} is present; tokens there: {1}")]
    TokenAbsent(String, String),
    /// More than one token of this name is there.
    #[error("{1} tokens with {0} are present; choose one by its serial")]
    TokenAmbiguous(String, usize),
    /// The token does not know AES-GCM.
    #[error("the token ({0}) has no CKM_AES_GCM: it cannot serve an external key store")]
    NoAesGcm(String),
    /// The token refuses the PIN. It is not tried again: a few tries would lock the token.
    #[error(
        "the token refuses the PIN: {}; it will not be tried again until the configuration changes",
        codes::in_words(*.0, Function::Login)
    )]
    PinRefused(RvError),
    /// The login must not be tried.
    #[error("no login is tried: {0}")]
    LoginRefused(String),
    /// The token has a login, the configuration has no PIN for it.
    #[error(
        "the token requires a login (CKF_LOGIN_REQUIRED), but the configuration says pin = \"none\"; configure its PIN"
    )]
    PinMissing,
    /// The PIN cannot be read.
    #[error("the PIN: {0}")]
    PinUnreadable(#[from] PinError),
    /// A check with the health key gave a wrong result.
    #[error("the token failed its check: {0}")]
    ProbeFailed(&'static str),
    /// A call failed.
    #[error("{0}")]
    Call(#[from] Error),
    /// An encryption or decryption failed.
    #[error("AES-GCM with the health key: {0}")]
    Crypto(#[from] CallError),
    /// The token is there, but its keys are not. A device that has lost its memory must not make KMS believe that a key was
    /// deleted.
    #[error("the token has lost all of its keys")]
    TokenEmpty,
    /// No way to do AES-GCM passes the check.
    #[error("no GCM profile passes the check with the health key: {0}")]
    NoPlanFits(String),
    /// The operating system gives no thread.
    #[error("no thread: {0}")]
    Thread(#[from] std::io::Error),
}

impl OpenError {
    /// Whether another try may never be made.
    pub(in crate::pkcs11) fn is_final(&self) -> bool {
        matches!(self, Self::PinRefused(_) | Self::LoginRefused(_))
    }

    /// The code that a PKCS#11 call returned, if it was one.
    fn code(&self) -> Option<RvError> {
        match self {
            Self::Call(error) => error.code(),
            Self::Crypto(CallError::Returned(code, _)) => Some(*code),
            _ => None,
        }
    }

    /// Whether the token gives no session or login, because it has too many.
    pub(in crate::pkcs11) fn is_about_limits(&self) -> bool {
        matches!(
            self.code(),
            Some(RvError::SessionCount | RvError::UserTooManyTypes)
        )
    }

    /// Whether a new session and a new login can mend it.
    pub(in crate::pkcs11) fn is_about_the_session(&self) -> bool {
        self.code().is_some_and(is_about_the_session)
    }

    /// Whether the device is gone, so that no other way of calling it would help.
    pub(in crate::pkcs11) fn is_about_the_device(&self) -> bool {
        self.code().is_some_and(is_code_of_the_device)
    }
}
