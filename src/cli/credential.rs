//! `xks-proxy credential …`.

mod new;

use clap::Subcommand;

use crate::cli::output::exit::ExitStatus;

/// Credentials with which KMS signs its requests.
#[derive(Subcommand)]
pub(super) enum Credential {
    New(new::New),
}

impl Credential {
    pub(super) fn run(self) -> ExitStatus {
        match self {
            Self::New(command) => command.run(),
        }
    }
}
