//! The HSMs of a command, each in a worker of the command.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;

use super::terminal::safe;
use super::{serve, worker};
use crate::hsm_protocol::HsmSettings;
use crate::inventory::Inventory;
use crate::launcher::{CommandWorkers, Commands, Plan};

/// The state directory of the unit that comes with the proxy.
const USUAL_STATE_DIRECTORY: &str = "/var/lib/xks-proxy";

/// How a command logs in to tokens.
#[derive(Args)]
pub(super) struct LoginOptions {
    /// Where the service remembers which PINs tokens have rejected: none of them is tried again. Without this option $STATE_DIRECTORY, or
    /// /var/lib/xks-proxy if that exists.
    #[arg(long, value_name = "DIR")]
    state_directory: Option<PathBuf>,
    /// Try each PIN once, also one that the token has rejected. A few wrong attempts lock a token.
    #[arg(long)]
    try_rejected_pin: bool,
}

impl LoginOptions {
    fn directory(&self) -> Option<PathBuf> {
        let usual = Path::new(USUAL_STATE_DIRECTORY);
        let named = self.state_directory.clone().or_else(serve::state_directory);
        named.or_else(|| usual.is_dir().then(|| usual.to_owned()))
    }
}

/// Opens each of these HSMs of this configuration. What their libraries write goes to standard error.
pub(super) fn open<'a>(
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
    // Without standard error there is nobody to tell.
    drop(writeln!(io::stderr(), "{hsm}: {}", safe(line)));
}
