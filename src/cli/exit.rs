//! The exit codes of all commands. Wrong usage is 2, by the command line's parser.

use std::process::ExitCode;

/// How a command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExitStatus {
    /// Done.
    Done,
    /// Something of ours, or of the machine's, went wrong (`EX_SOFTWARE`).
    Internal,
    /// The configuration has faults (`EX_CONFIG`).
    BadConfiguration,
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(match status {
            ExitStatus::Done => 0,
            ExitStatus::Internal => 70,
            ExitStatus::BadConfiguration => 78,
        })
    }
}
