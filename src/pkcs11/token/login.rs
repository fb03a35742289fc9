//! Logs in to the token, with permission from the record of logins.
//!
//! # Invariants
//! - `C_Login` is called only with permission, and its result is reported. A worker that dies between the two has used up one login
//!   attempt.

use cryptoki::error::RvError;

use super::login_record::LoginRecord;
use super::open_error::OpenError;
use super::slot::TokenIdentity;
use crate::hsm_protocol::launch::LoginOutcome;
use crate::pkcs11::library::codes;
use crate::pkcs11::library::errors::Error;
use crate::pkcs11::library::ffi::Session;
use crate::secret::Secret;

/// Fails when the token requires a login and no PIN is configured.
pub(in crate::pkcs11) fn check_pin(
    identity: &TokenIdentity,
    pin: Option<&Secret>,
) -> Result<(), OpenError> {
    match identity.requires_login && pin.is_none() {
        true => Err(OpenError::PinMissing),
        false => Ok(()),
    }
}

/// Logs in, with one attempt. Does nothing without a PIN: then the token needs no login, see [`check_pin`].
pub(in crate::pkcs11) fn log_in(
    session: &Session,
    identity: &TokenIdentity,
    pin: Option<&Secret>,
    logins: &dyn LoginRecord,
) -> Result<(), OpenError> {
    if pin.is_none() {
        return Ok(());
    }
    let mut logged_in = Ok(());
    let attempt = logins.attempt(&identity.login_record_key(), &mut || {
        logged_in = call_login(session, pin);
        match &logged_in {
            Ok(()) => LoginOutcome::LoggedIn,
            Err(OpenError::PinRejected(code)) => LoginOutcome::Rejected(codes::number(*code)),
            Err(_) => LoginOutcome::Other,
        }
    });
    attempt.map_err(OpenError::LoginNotPermitted)?;
    logged_in
}

/// Calls `C_Login`. A login is valid for the token in the whole process, so `CKR_USER_ALREADY_LOGGED_IN` is a success.
fn call_login(session: &Session, pin: Option<&Secret>) -> Result<(), OpenError> {
    let Some(pin) = pin else {
        return Ok(());
    };
    match session.login(pin.expose().as_bytes()) {
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
        Err(Error::Pkcs11(code, _)) if is_about_the_pin(code) => Err(OpenError::PinRejected(code)),
        Err(other) => Err(other.into()),
    }
}

/// Returns whether the token rejected this PIN. `UserPinNotInitialized` does not count: the token has no PIN, and an attempt locks nothing.
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
