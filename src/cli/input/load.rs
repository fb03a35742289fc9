//! Reads the configuration for a command.

use std::path::Path;

use crate::cli::output::exit::{CommandError, ExitStatus};
use crate::config::{self, Findings, Loaded, Original, Outline};

/// Reads the configuration, or returns all of its errors.
pub(in crate::cli) fn configuration(file: &Path) -> Result<Loaded, CommandError> {
    config::load(file).map_err(|errors| invalid(file, &errors))
}

/// As [`configuration`], with the text, for commands that print a changed part of it.
pub(in crate::cli) fn original(file: &Path) -> Result<(Loaded, Original), CommandError> {
    config::load_original(file).map_err(|errors| invalid(file, &errors))
}

/// Reads the parts that an auditor's commands need, or returns all of their errors.
pub(in crate::cli) fn outline(file: &Path) -> Result<Outline, CommandError> {
    config::outline(file).map_err(|errors| invalid(file, &errors))
}

fn invalid(file: &Path, errors: &Findings) -> CommandError {
    let message = format!("{} has errors:\n{errors}", file.display());
    CommandError::new(ExitStatus::BadConfiguration, message.trim_end())
}
