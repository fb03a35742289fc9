//! From a module to a logged-in session on the one token that is meant.

use cryptoki::context::Function;
use cryptoki::error::RvError;
use cryptoki_sys::CKM_AES_GCM;
use thiserror::Error as ThisError;

use super::codes;
use super::errors::{CallError, Error};
use super::ffi::Session;
use super::gcm_call::VENDOR_PREPENDED_GCM;
use super::module::{Module, ModuleError};
use super::slot::{TokenInfo, TokenSlot};
use crate::hsm_protocol::{PinError, TokenSelector};
use crate::secret::Secret;

pub(super) use super::slot::TokenIdentity;

/// Why a device cannot be opened, in words for an operator.
#[derive(Debug, ThisError)]
pub(super) enum OpenError {
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
    pub(super) fn is_final(&self) -> bool {
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
    pub(super) fn is_about_limits(&self) -> bool {
        matches!(
            self.code(),
            Some(RvError::SessionCount | RvError::UserTooManyTypes)
        )
    }

    /// Whether a new session and a new login can mend it.
    pub(super) fn is_about_the_session(&self) -> bool {
        self.code().is_some_and(is_about_the_session)
    }

    /// Whether the device is gone, so that no other way of calling it would help.
    pub(super) fn is_about_the_device(&self) -> bool {
        self.code().is_some_and(is_code_of_the_device)
    }
}

/// Whether an error of a call says that the session, the device or the library is gone, and not the object of the call.
pub(super) fn is_about_the_device(error: &Error) -> bool {
    match error {
        Error::Pkcs11(code, _) => is_code_of_the_device(*code),
        _ => true,
    }
}

fn is_code_of_the_device(code: RvError) -> bool {
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
pub(super) fn is_about_the_session(code: RvError) -> bool {
    matches!(
        code,
        RvError::SessionHandleInvalid | RvError::SessionClosed | RvError::UserNotLoggedIn
    )
}

/// The slot of the token, with what the token says of itself.
pub(super) fn find(
    module: &Module,
    selector: &TokenSelector,
) -> Result<(TokenSlot, TokenIdentity), OpenError> {
    let functions = &module.functions;
    let (mut seen, mut found) = (Vec::new(), Vec::new());
    for slot in functions.slots(true)? {
        let info = match functions.token_info(slot) {
            Ok(info) => TokenInfo::from(info),
            Err(error) => {
                seen.push(format!("slot {slot} cannot be queried ({error})"));
                continue;
            }
        };
        if info.is_selected_by(selector) {
            found.push((TokenSlot::new(slot, &info), info.identity()));
        }
        seen.push(info.to_string());
    }
    match (found.pop(), found.len()) {
        (Some(token), 0) => Ok(token),
        (Some(_), others) => Err(OpenError::TokenAmbiguous(describe(selector), others + 1)),
        (None, _) if seen.is_empty() => {
            let slots = functions.slots(false)?.len();
            let none = format!("none; slots without a token: {slots}");
            Err(OpenError::TokenAbsent(describe(selector), none))
        }
        (None, _) => Err(OpenError::TokenAbsent(describe(selector), seen.join(", "))),
    }
}

/// Which AES-GCM mechanisms a token has.
#[derive(Clone, Copy, Debug)]
pub(super) struct GcmMechanisms {
    /// `CKM_AES_GCM`.
    pub standard: bool,
    /// `CKM_CLOUDHSM_AES_GCM`.
    pub vendor_prepended: bool,
}

/// The token's AES-GCM mechanisms; an error when there is none.
pub(super) fn gcm_mechanisms(
    module: &Module,
    slot: TokenSlot,
    identity: &TokenIdentity,
) -> Result<GcmMechanisms, OpenError> {
    let known = module.functions.mechanisms(slot.id)?;
    let mechanisms = GcmMechanisms {
        standard: known.contains(&CKM_AES_GCM),
        vendor_prepended: known.contains(&VENDOR_PREPENDED_GCM),
    };
    match mechanisms.standard || mechanisms.vendor_prepended {
        true => Ok(mechanisms),
        false => Err(OpenError::NoAesGcm(format!(
            "{}, {}",
            identity.vendor, identity.model
        ))),
    }
}

/// Fails when the token requires a login and no PIN is configured.
pub(super) fn check_pin(identity: &TokenIdentity, pin: Option<&Secret>) -> Result<(), OpenError> {
    match identity.requires_login && pin.is_none() {
        true => Err(OpenError::PinMissing),
        false => Ok(()),
    }
}

/// Logs in, once; without a PIN the token needs no login, see [`check_pin`]. The login belongs to the token and the process: being logged
/// in already is success.
pub(super) fn log_in(session: &Session, pin: Option<&Secret>) -> Result<(), OpenError> {
    let Some(pin) = pin else {
        return Ok(());
    };
    match session.login(pin.expose().as_bytes()) {
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
        Err(Error::Pkcs11(code, _)) if is_about_the_pin(code) => Err(OpenError::PinRefused(code)),
        Err(other) => Err(other.into()),
    }
}

/// Not `UserPinNotInitialized`: it says nothing about this PIN, locks nothing, and ends once somebody has set one.
fn is_about_the_pin(code: RvError) -> bool {
    matches!(
        code,
        RvError::PinIncorrect
            | RvError::PinInvalid
            | RvError::PinLenRange
            | RvError::PinExpired
            | RvError::PinLocked
    )
}

fn describe(selector: &TokenSelector) -> String {
    match selector {
        TokenSelector::Label(label) => format!("label {label:?}"),
        TokenSelector::Serial(serial) => format!("serial {serial:?}"),
    }
}
