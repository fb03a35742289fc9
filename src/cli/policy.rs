//! `xks-proxy policy …`.

mod asked;
mod check;
mod explain;

use std::path::Path;

use clap::Subcommand;

use super::exit::{ExitStatus, Refusal};
use crate::cli::load;
use crate::config::Outline;
use crate::policy::Policy as Rules;

/// The authorization policy.
#[derive(Subcommand)]
pub(super) enum Policy {
    Check(check::Check),
    Explain(explain::Explain),
}

impl Policy {
    pub(super) fn run(self) -> ExitStatus {
        match self {
            Self::Check(command) => command.run(),
            Self::Explain(command) => command.run(),
        }
    }
}

/// What the configuration says of who may do what, and its policy, which must be there.
fn load(file: &Path) -> Result<(Outline, Rules), Refusal> {
    let outline = load::outline(file)?;
    let Some(policy) = outline.policy.clone() else {
        let message = "the configuration has no [policy]: every authenticated request is allowed";
        return Err(Refusal::new(ExitStatus::No, message));
    };
    Ok((outline, policy))
}
