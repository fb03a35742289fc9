//! Who decides whether a login may be tried.

use crate::hsm_protocol::launch::LoginOutcome;

/// Who keeps the record of logins.
pub trait LoginRecord: Send + Sync {
    /// Asks for permission to log in once. The text identifies the token.
    ///
    /// # Errors
    /// Why not, in words for an operator.
    fn begins(&self, token: &str) -> Result<(), String>;

    /// Reports how it ended.
    fn ended(&self, outcome: LoginOutcome);
}
