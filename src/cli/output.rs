//! Results of commands: exit codes, progress, and text that is safe for a terminal.

pub(super) mod exit;
pub(super) mod progress;
pub(super) mod terminal;
