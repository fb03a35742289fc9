//! `xks-proxy serve`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;

use super::exit::{ExitStatus, Refusal};
use super::worker;
use crate::launcher::{self, Commands, Plan};

/// Run the proxy until SIGTERM. SIGHUP, or a change of a file that the configuration names, has it read again.
#[derive(Args)]
#[command(
    after_help = "Example:\n  xks-proxy serve --config /etc/xks-proxy/config.toml\n\n\
    The service has several processes: this one starts the others and forwards signals to them; \"front\" serves KMS; \
    there is one \"worker\" per HSM."
)]
pub(super) struct Serve {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Where the service remembers which PINs tokens have rejected. Under systemd, StateDirectory= takes its place.
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
            Err(error) => Refusal::internal(format!("the service cannot run: {error}")).tell(),
        }
    }
}

/// The first directory of the unit's `StateDirectory=`.
pub(super) fn state_directory() -> Option<PathBuf> {
    let directories = std::env::var_os("STATE_DIRECTORY")?;
    let mut directories = std::env::split_paths(&directories);
    directories.find(|directory| directory.is_absolute())
}

fn front(config: &Path) -> Vec<OsString> {
    vec!["front".into(), "--config".into(), config.into()]
}
