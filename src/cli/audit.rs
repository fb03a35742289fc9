//! `xks-proxy audit …`.

mod columns;
mod filter;
mod incomplete;
mod limit;
mod report;
mod show;
mod trail;
mod verify;

use clap::Subcommand;

use super::output::exit::ExitStatus;

pub(super) use trail::{requests, settings};

/// The audit log.
#[derive(Subcommand)]
pub(super) enum Audit {
    Verify(verify::Verify),
    Show(show::Show),
}

impl Audit {
    pub(super) fn run(self) -> ExitStatus {
        match self {
            Self::Verify(command) => command.run(),
            Self::Show(command) => command.run(),
        }
    }
}
