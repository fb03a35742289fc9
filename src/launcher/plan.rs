//! The parameters of the launcher.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::hsm_protocol::launch::{HsmName, SettingsChoice};

/// The command lines of the child processes, without the program: all run the launcher's executable.
pub struct Commands {
    /// The arguments of the front.
    pub front: Vec<OsString>,
    /// Returns the arguments of the worker of an HSM.
    pub worker: fn(&Plan, &HsmName, SettingsChoice) -> Vec<OsString>,
}

/// The parameters of the launcher.
pub struct Plan {
    /// The configuration file, which the launcher only passes on.
    pub config: PathBuf,
    /// The directory of the record of logins. Without it, a restart loses the record.
    pub state_directory: Option<PathBuf>,
    /// The arguments of the child processes.
    pub commands: Commands,
}
