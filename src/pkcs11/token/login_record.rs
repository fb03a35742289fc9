//! The record of logins, which decides whether a login may be tried.

use crate::hsm_protocol::launch::LoginOutcome;

/// The record of logins.
pub trait LoginRecord: Send + Sync {
    /// Requests permission for one login. `token` identifies the token.
    ///
    /// # Errors
    /// When the login must not be tried; the text is for operators.
    fn begins(&self, token: &str) -> Result<(), String>;

    /// Reports the result of the login.
    fn ended(&self, outcome: LoginOutcome);
}
