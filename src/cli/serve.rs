//! `xks-proxy serve`.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::exit::ExitStatus;
use crate::app::{self, AppError};

/// Run the proxy until SIGTERM. SIGHUP, or a change of a file that the configuration names, has it read again.
#[derive(Args)]
#[command(after_help = "Example:\n  xks-proxy serve --config /etc/xks-proxy/config.toml")]
pub(super) struct Serve {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

impl Serve {
    pub(super) fn run(self) -> ExitStatus {
        let Err(error) = app::run(&self.config) else {
            return ExitStatus::Done;
        };
        // Without standard error there is nobody to tell; the exit code still does.
        drop(writeln!(
            std::io::stderr(),
            "xks-proxy: {}: {error}",
            self.config.display()
        ));
        match error {
            AppError::Configuration(_) => ExitStatus::BadConfiguration,
            // A full or broken disk may work again at the next start; a wrong path does not.
            AppError::Audit(error) if !error.may_pass() => ExitStatus::BadConfiguration,
            _ => ExitStatus::Internal,
        }
    }
}
