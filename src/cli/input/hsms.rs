//! Opens the HSMs for a command, each in its own worker process.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::internal::worker;
use crate::cli::output::terminal::safe;
use crate::cli::serve;
use crate::hsm_protocol::HsmSettings;
use crate::inventory::Inventory;
use crate::launcher::{CommandWorkers, Commands, Plan};

/// The state directory of the systemd unit in `deploy/`.
const DEFAULT_STATE_DIRECTORY: &str = "/var/lib/xks-proxy";

/// Options for the login to tokens.
#[derive(Args)]
pub(in crate::cli) struct LoginOptions {
    /// The directory with the record of logins: a PIN that a token has rejected is not tried again. Default: $STATE_DIRECTORY, or
    /// /var/lib/xks-proxy if that exists.
    #[arg(long, value_name = "DIR")]
    state_directory: Option<PathBuf>,
    /// Try each PIN once, even if the token has rejected it before. A few wrong attempts lock a token.
    #[arg(long)]
    try_rejected_pin: bool,
}

impl LoginOptions {
    fn directory(&self) -> Option<PathBuf> {
        let default = Path::new(DEFAULT_STATE_DIRECTORY);
        let named = self.state_directory.clone().or_else(serve::state_directory);
        named.or_else(|| default.is_dir().then(|| default.to_owned()))
    }
}

/// Opens these HSMs of the configuration. The output of their libraries goes to standard error.
pub(in crate::cli) fn open<'a>(
    config: &Path,
    hsms: impl IntoIterator<Item = &'a HsmSettings>,
    logins: &LoginOptions,
) -> Inventory {
    let plan = Plan {
        config: config.to_owned(),
        state_directory: logins.directory(),
        commands: Commands {
            front: Vec::new(),
            worker: worker::administration_arguments,
        },
    };
    let workers = CommandWorkers::new(plan, print, logins.try_rejected_pin);
    Inventory::open(&workers, hsms)
}

fn print(hsm: &str, line: &str) {
    // If standard error is closed, the line is lost.
    drop(writeln!(io::stderr(), "{hsm}: {}", safe(line)));
}
