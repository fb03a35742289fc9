//! `xks-proxy policy …`.

mod asked;
mod check;
mod explain;
mod load;

use clap::Subcommand;

use super::output::exit::ExitStatus;

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
