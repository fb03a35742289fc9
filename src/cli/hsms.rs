//! The HSMs of a command, each in a worker of the command.

use std::io::{self, Write as _};
use std::path::Path;

use super::terminal::safe;
use super::worker;
use crate::hsm_protocol::HsmSettings;
use crate::inventory::Inventory;
use crate::launcher::{CommandWorkers, Commands, Plan};

/// Opens each of these HSMs of this configuration. What their libraries write goes to standard error.
pub(super) fn open<'a>(
    config: &Path,
    hsms: impl IntoIterator<Item = &'a HsmSettings>,
) -> Inventory {
    let plan = Plan {
        config: config.to_owned(),
        state_directory: None,
        commands: Commands {
            front: Vec::new(),
            worker: worker::administration_arguments,
        },
    };
    Inventory::open(&CommandWorkers::new(plan, print), hsms)
}

fn print(hsm: &str, line: &str) {
    // Without standard error there is nobody to tell.
    drop(writeln!(io::stderr(), "{hsm}: {}", safe(line)));
}
