//! What the launcher is told.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::hsm_protocol::launch::{HsmName, SettingsChoice};

/// The arguments of the processes that the launcher starts. All are the executable of the launcher.
pub struct Commands {
    /// The arguments of the front.
    pub front: Vec<OsString>,
    /// The arguments of the worker of this HSM.
    pub worker: fn(&Plan, &HsmName, SettingsChoice) -> Vec<OsString>,
}

/// What the launcher is told.
pub struct Plan {
    /// The configuration file, which the launcher only passes on.
    pub config: PathBuf,
    /// Where the record of logins is kept; without it, a restart forgets them.
    pub state_directory: Option<PathBuf>,
    /// Arguments of its processes.
    pub commands: Commands,
}
