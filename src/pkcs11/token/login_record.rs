//! The record of logins, which decides whether a login may be tried.

use crate::hsm_protocol::launch::LoginOutcome;

/// The record of logins.
pub trait LoginRecord: Send + Sync {
    /// Requests permission for one login, calls `login`, and reports its result. `token` identifies the token.
    ///
    /// A second caller waits until the first login has ended: several sessions lose their login at the same time, and a worker has
    /// permission for one login at a time.
    ///
    /// # Errors
    /// When the login must not be tried; the text is for operators. `login` is not called then.
    fn attempt(&self, token: &str, login: &mut dyn FnMut() -> LoginOutcome) -> Result<(), String>;
}
