//! Logging in, with the permission of who keeps the record of logins.
//!
//! # Invariants
//! - `C_Login` is called only after a permission, and its end is reported: a worker that dies in between has used up an attempt at the PIN.

use super::codes;
use super::ffi::Session;
use super::login_record::LoginRecord;
use super::shared::Shared;
use super::token::{self, OpenError, TokenIdentity};
use crate::hsm_protocol::launch::LoginOutcome;
use crate::secret::Secret;

impl Shared {
    /// Logs in, once; without a PIN the token needs no login.
    pub(super) fn log_in(
        &self,
        session: &Session,
        identity: &TokenIdentity,
    ) -> Result<(), OpenError> {
        log_in(session, identity, self.pin.as_ref(), &*self.logins)
    }
}

/// The same without the state of a worker that serves.
pub(super) fn log_in(
    session: &Session,
    identity: &TokenIdentity,
    pin: Option<&Secret>,
    logins: &dyn LoginRecord,
) -> Result<(), OpenError> {
    if pin.is_none() {
        return Ok(());
    }
    logins
        .begins(&identity.of_login())
        .map_err(OpenError::LoginRefused)?;
    let outcome = token::log_in(session, pin);
    logins.ended(match &outcome {
        Ok(()) => LoginOutcome::LoggedIn,
        Err(OpenError::PinRefused(code)) => LoginOutcome::Rejected(codes::number(*code)),
        Err(_) => LoginOutcome::Other,
    });
    outcome
}
