//! From a module to a logged-in session on the one token that is meant.

use cryptoki::context::Pkcs11;
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::MechanismType;
use cryptoki::session::{Session, UserType};
use cryptoki::slot::{Slot, TokenInfo};
use cryptoki::types::AuthPin;
use thiserror::Error as ThisError;

use super::errors::CallError;
use super::ffi::VENDOR_PREPENDED_GCM;
use super::module::ModuleError;
use super::settings::TokenSelector;
use crate::secret::Secret;

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
        "the token refuses the PIN ({0:?}); it will not be tried again until the configuration changes"
    )]
    PinRefused(RvError),
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
    /// The device does not answer.
    #[error("the device hangs")]
    Hangs,
    /// The operating system gives no thread.
    #[error("no thread: {0}")]
    Thread(#[from] std::io::Error),
}

impl OpenError {
    /// Whether another try may never be made.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Self::PinRefused(_))
    }

    /// The code that a PKCS#11 call returned, if it was one.
    fn code(&self) -> Option<RvError> {
        match self {
            Self::Call(Error::Pkcs11(code, _)) | Self::Crypto(CallError::Returned(code)) => {
                Some(*code)
            }
            _ => None,
        }
    }

    /// Whether the library has forgotten that it was initialised.
    pub(super) fn needs_initialize(&self) -> bool {
        self.code() == Some(RvError::CryptokiNotInitialized)
    }

    /// Whether the token, or what is on it, is not there: some libraries look only when they are initialised.
    pub(super) fn is_about_presence(&self) -> bool {
        matches!(self, Self::TokenAbsent(..) | Self::TokenEmpty)
    }

    /// Whether a new session and a new login can mend it.
    pub(super) fn is_about_the_session(&self) -> bool {
        self.code().is_some_and(is_about_the_session)
    }

    /// Whether the device is gone, so that no other way of calling it would help.
    pub(super) fn is_about_the_device(&self) -> bool {
        self.code().is_some_and(|code| {
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
        })
    }
}

/// Whether the session or the login is gone, and only that.
pub(super) fn is_about_the_session(code: RvError) -> bool {
    matches!(
        code,
        RvError::SessionHandleInvalid | RvError::SessionClosed | RvError::UserNotLoggedIn
    )
}

/// What a token says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TokenIdentity {
    pub vendor: String,
    pub model: String,
    pub serial: String,
}

/// The slot of the token, with what the token says of itself.
pub(super) fn find(
    context: &Pkcs11,
    selector: &TokenSelector,
) -> Result<(Slot, TokenIdentity), OpenError> {
    let mut seen = Vec::new();
    let mut found = Vec::new();
    for slot in context.get_slots_with_token()? {
        // A slot that cannot be asked is none that could be meant.
        let Ok(info) = context.get_token_info(slot) else {
            continue;
        };
        if matches(&info, selector) {
            found.push((slot, identity(&info)));
        }
        seen.push(format!(
            "{:?} (serial {})",
            info.label(),
            info.serial_number()
        ));
    }
    match found.len() {
        0 => Err(OpenError::TokenAbsent(describe(selector), list(&seen))),
        1 => found
            .pop()
            .ok_or(OpenError::TokenAbsent(describe(selector), String::new())),
        n => Err(OpenError::TokenAmbiguous(describe(selector), n)),
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
    context: &Pkcs11,
    slot: Slot,
    identity: &TokenIdentity,
) -> Result<GcmMechanisms, OpenError> {
    let vendor = MechanismType::new_vendor_defined(VENDOR_PREPENDED_GCM).ok();
    let known = context.get_mechanism_list(slot)?;
    let mechanisms = GcmMechanisms {
        standard: known.contains(&MechanismType::AES_GCM),
        vendor_prepended: vendor.is_some_and(|vendor| known.contains(&vendor)),
    };
    match mechanisms.standard || mechanisms.vendor_prepended {
        true => Ok(mechanisms),
        false => Err(OpenError::NoAesGcm(format!(
            "{}, {}",
            identity.vendor, identity.model
        ))),
    }
}

/// Logs in, once. The login belongs to the token and the process: being logged in already is success.
pub(super) fn log_in(session: &Session, pin: &Secret) -> Result<(), OpenError> {
    let pin = AuthPin::from(pin.expose().to_owned());
    match session.login(UserType::User, Some(&pin)) {
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

fn matches(info: &TokenInfo, selector: &TokenSelector) -> bool {
    match selector {
        TokenSelector::Label(label) => info.token_initialized() && info.label() == label,
        TokenSelector::Serial(serial) => info.serial_number() == serial,
    }
}

fn identity(info: &TokenInfo) -> TokenIdentity {
    let firmware = info.firmware_version();
    TokenIdentity {
        vendor: info.manufacturer_id().to_owned(),
        model: format!("{} {}.{}", info.model(), firmware.major(), firmware.minor()),
        serial: info.serial_number().to_owned(),
    }
}

fn describe(selector: &TokenSelector) -> String {
    match selector {
        TokenSelector::Label(label) => format!("label {label:?}"),
        TokenSelector::Serial(serial) => format!("serial {serial:?}"),
    }
}

fn list(seen: &[String]) -> String {
    match seen.is_empty() {
        true => "none".to_owned(),
        false => seen.join(", "),
    }
}
