//! `xks-proxy key …`.

mod common;
mod create;
mod list;
mod rotate;
mod table;

use clap::Subcommand;

use super::output::exit::ExitStatus;

/// Keys in the HSMs.
#[derive(Subcommand)]
pub(super) enum Key {
    Create(create::Create),
    List(list::List),
    Rotate(rotate::Rotate),
}

impl Key {
    pub(super) fn run(self) -> ExitStatus {
        match self {
            Self::Create(command) => command.run(),
            Self::List(command) => command.run(),
            Self::Rotate(command) => command.run(),
        }
    }
}
