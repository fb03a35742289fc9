//! The first stage of a worker.

mod settings;

use std::convert::Infallible;
use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use super::error::WorkerError;
use super::launcher::link::LauncherLink;
use super::standard_error::print_error;
use settings::{environment_of, settings_of};

use crate::hsm_protocol::launch::{SettingsBytes, SettingsChoice};
use crate::hsm_protocol::launch::{inherited, launched};

/// The executable of this process, also after an upgrade has replaced the file.
const EXECUTABLE: &str = "/proc/self/exe";

/// The parameters of the first stage.
pub struct Preparation {
    /// The configuration file.
    pub config: PathBuf,
    /// The name of the `[[hsm]]`.
    pub hsm: String,
    /// The source of the settings.
    pub settings: SettingsChoice,
    /// The arguments of the second stage.
    pub second_stage: Vec<OsString>,
}

/// Runs the first stage: replaces the process by the second stage, with the environment of its settings.
///
/// # Errors
/// [`WorkerError`].
pub fn prepare(preparation: &Preparation) -> Result<Infallible, WorkerError> {
    let channel = launched::channel().map_err(WorkerError::NotLaunched)?;
    let launcher = LauncherLink::new(channel);
    let settings = choose(preparation, &launcher)?;
    let environment = environment_of(&settings).map_err(WorkerError::Settings)?;
    // The launcher has done this already. It is repeated so that the library does not depend on how the worker was started.
    inherited::keep_from_children()?;
    let mut command = Command::new(EXECUTABLE);
    command.arg0("xks-proxy").args(&preparation.second_stage);
    command.env_clear().envs(environment);
    // Standard input stays the channel.
    Err(command.exec().into())
}

fn choose(
    preparation: &Preparation,
    launcher: &LauncherLink,
) -> Result<SettingsBytes, WorkerError> {
    let reason = match preparation.settings {
        SettingsChoice::LastGood => "the last good settings were requested".to_owned(),
        SettingsChoice::Current => match settings_of(&preparation.config, &preparation.hsm) {
            Ok(settings) => {
                launcher.store(settings.clone())?;
                return Ok(settings);
            }
            Err(reason) => reason,
        },
    };
    match launcher.last_good()? {
        Some(settings) => {
            if preparation.settings == SettingsChoice::Current {
                let config = preparation.config.display();
                print_error(&format!(
                    "{config} cannot be used; using the last good settings: {reason}"
                ));
            }
            Ok(settings)
        }
        None => Err(WorkerError::Settings(format!(
            "no settings for the HSM {:?}: {reason}; there are no last good settings",
            preparation.hsm
        ))),
    }
}
