//! `xks-proxy policy …`.

mod asked;
mod check;
mod explain;

use std::path::Path;

use clap::Subcommand;

use super::exit::{ExitStatus, Refusal};
use crate::cli::load;
use crate::config::{Configuration, Finding};
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

/// The configuration with its policy, which must be there, and the warnings.
fn load(file: &Path) -> Result<(Configuration, Rules, Vec<Finding>), Refusal> {
    let loaded = load::configuration(file)?;
    let Some(policy) = loaded.configuration.policy.clone() else {
        let message = "the configuration has no [policy]: every authenticated request is allowed";
        return Err(Refusal::new(ExitStatus::No, message));
    };
    Ok((loaded.configuration, policy, loaded.warnings))
}
