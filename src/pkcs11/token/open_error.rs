//! Errors of opening and checking a token.

use cryptoki::context::Function;
use cryptoki::error::RvError;
use thiserror::Error as ThisError;

use crate::pkcs11::library::codes;
use crate::pkcs11::library::errors::{
    CallError, Error, is_about_the_session, is_code_of_the_device,
};
use crate::pkcs11::library::module::ModuleError;

/// Why a token cannot be opened, or fails its check. The texts are for operators.
#[derive(Debug, ThisError)]
pub(in crate::pkcs11) enum OpenError {
    /// The library cannot be loaded or initialized.
    #[error(transparent)]
    Module(#[from] ModuleError),
    /// No token has this name. The second text lists the tokens that are present.
    #[error("no token with {0} is present; tokens there: {1}")]
    TokenAbsent(String, String),
    /// Several tokens have this name.
    #[error("{1} tokens with {0} are present; choose one by its serial")]
    TokenAmbiguous(String, usize),
    /// The token does not support AES-GCM.
    #[error("the token ({0}) has no CKM_AES_GCM: it cannot serve an external key store")]
    NoAesGcm(String),
    /// The token rejects the PIN. The PIN is not tried again, because a few attempts would lock the token.
    #[error(
        "the token rejected the PIN: {}; it will not be tried again until the configuration changes",
        codes::describe(*.0, Function::Login)
    )]
    PinRejected(RvError),
    /// The record of logins does not permit a login.
    #[error("no login is tried: {0}")]
    LoginNotPermitted(String),
    /// The token requires a login, and the configuration has no PIN.
    #[error(
        "the token requires a login (CKF_LOGIN_REQUIRED), but the configuration has pin = \"none\"; configure its PIN"
    )]
    PinMissing,
    /// A check with the health key had a wrong result.
    #[error("the token failed its check: {0}")]
    ProbeFailed(&'static str),
    /// A call failed.
    #[error("{0}")]
    Call(#[from] Error),
    /// An encryption or decryption failed.
    #[error("AES-GCM with the health key: {0}")]
    Crypto(#[from] CallError),
    /// The token is present but has lost its keys. KMS must not conclude that a key was deleted.
    #[error("the token has lost all of its keys")]
    TokenEmpty,
    /// No GCM plan passes the check.
    #[error("no GCM profile passes the check with the health key: {0}")]
    NoPlanFits(String),
    /// The operating system cannot start a thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

impl OpenError {
    /// Returns whether no further attempt is allowed.
    pub(in crate::pkcs11) fn is_final(&self) -> bool {
        matches!(self, Self::PinRejected(_) | Self::LoginNotPermitted(_))
    }

    /// The code of a PKCS#11 call, if one failed.
    fn code(&self) -> Option<RvError> {
        match self {
            Self::Call(error) => error.code(),
            Self::Crypto(CallError::Returned(code, _)) => Some(*code),
            _ => None,
        }
    }

    /// Returns whether the token rejects a session or login because it has too many.
    pub(in crate::pkcs11) fn is_about_limits(&self) -> bool {
        matches!(
            self.code(),
            Some(RvError::SessionCount | RvError::UserTooManyTypes)
        )
    }

    /// Returns whether a new session and a new login can fix the error.
    pub(in crate::pkcs11) fn is_about_the_session(&self) -> bool {
        self.code().is_some_and(is_about_the_session)
    }

    /// Returns whether the device is lost, so that another GCM plan cannot help.
    pub(in crate::pkcs11) fn is_about_the_device(&self) -> bool {
        self.code().is_some_and(is_code_of_the_device)
    }
}
