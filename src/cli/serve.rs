//! `xks-proxy serve`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;

use super::internal::worker;
use crate::cli::output::exit::{CommandError, ExitStatus};
use crate::launcher::{self, Commands, Plan};

/// Run the proxy until SIGTERM. It reloads the configuration on SIGHUP, and when the configuration or a file that it names changes.
#[derive(Args)]
#[command(
    after_help = "Example:\n  xks-proxy serve --config /etc/xks-proxy/config.toml\n\n\
    The service has several processes. This one starts the others and forwards signals to them; \"front\" serves KMS; \
    there is one \"worker\" per HSM."
)]
pub(super) struct Serve {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The directory for the record of logins, which lists rejected PINs. Under systemd, StateDirectory= overrides it.
    #[arg(long, value_name = "DIR")]
    state_directory: Option<PathBuf>,
}

impl Serve {
    pub(super) fn run(self) -> ExitStatus {
        let plan = Plan {
            commands: Commands {
                front: front(&self.config),
                worker: worker::arguments,
            },
            state_directory: state_directory().or(self.state_directory),
            config: self.config,
        };
        match launcher::run(&plan) {
            Ok(code) => ExitStatus::OfChild(code),
            Err(error) => {
                CommandError::internal(format!("the service cannot run: {error}")).report()
            }
        }
    }
}

/// Returns the first directory of the unit's `StateDirectory=`.
pub(super) fn state_directory() -> Option<PathBuf> {
    let directories = std::env::var_os("STATE_DIRECTORY")?;
    let mut directories = std::env::split_paths(&directories);
    directories.find(|directory| directory.is_absolute())
}

fn front(config: &Path) -> Vec<OsString> {
    vec!["front".into(), "--config".into(), config.into()]
}
