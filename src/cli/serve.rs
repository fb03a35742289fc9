//! `xks-proxy serve`.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::exit::ExitStatus;
use crate::app::{self, AppError};
use crate::config::{self, Reading};

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
        let mut stderr = std::io::stderr();
        let Reading { outcome, sources } = config::read(&self.config);
        let loaded = match outcome {
            Ok(loaded) => loaded,
            Err(faults) => {
                let file = self.config.display();
                // Without standard error there is nobody to tell; the exit code still does.
                drop(write!(
                    stderr,
                    "{file} has faults; nothing was started:\n{faults}"
                ));
                return ExitStatus::BadConfiguration;
            }
        };
        match app::run(&self.config, loaded, sources) {
            Ok(()) => ExitStatus::Done,
            Err(error) => {
                drop(writeln!(stderr, "xks-proxy: {error}"));
                match error {
                    // A full or broken disk may work again at the next start; a wrong path does not.
                    AppError::Audit(error) if !error.may_pass() => ExitStatus::BadConfiguration,
                    _ => ExitStatus::Internal,
                }
            }
        }
    }
}
