//! The configuration of a command that needs one.

use std::path::Path;

use super::exit::{ExitStatus, Refusal};
use crate::config::{self, Findings, Loaded, Original, Outline};

/// The configuration, or all of its faults.
pub(super) fn configuration(file: &Path) -> Result<Loaded, Refusal> {
    config::load(file).map_err(|faults| refusal(file, &faults))
}

/// The same with its text, for commands that print a changed part of it.
pub(super) fn original(file: &Path) -> Result<(Loaded, Original), Refusal> {
    config::load_original(file).map_err(|faults| refusal(file, &faults))
}

/// What an auditor's commands need of it, or all faults of that.
pub(super) fn outline(file: &Path) -> Result<Outline, Refusal> {
    config::outline(file).map_err(|faults| refusal(file, &faults))
}

fn refusal(file: &Path, faults: &Findings) -> Refusal {
    let message = format!("{} has faults:\n{faults}", file.display());
    Refusal::new(ExitStatus::BadConfiguration, message.trim_end())
}
