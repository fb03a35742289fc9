//! The configuration of a command that needs one.

use std::path::Path;

use super::exit::{ExitStatus, Refusal};
use crate::config::{self, Loaded};

/// The configuration, or all of its faults.
pub(super) fn configuration(file: &Path) -> Result<Loaded, Refusal> {
    config::load(file).map_err(|faults| {
        let message = format!("{} has faults:\n{faults}", file.display());
        Refusal::new(ExitStatus::BadConfiguration, message.trim_end())
    })
}
