//! Reads the policy of a configuration.

use std::path::Path;

use crate::cli::input::load;
use crate::cli::output::exit::{CommandError, ExitStatus};
use crate::config::Outline;
use crate::policy::Policy;

/// Reads the parts of the configuration that decide about requests, and the policy, which must exist.
pub(super) fn policy(file: &Path) -> Result<(Outline, Policy), CommandError> {
    let outline = load::outline(file)?;
    let Some(policy) = outline.policy.clone() else {
        let message = "the configuration has no [policy]: every authenticated request is allowed";
        return Err(CommandError::new(ExitStatus::No, message));
    };
    Ok((outline, policy))
}
