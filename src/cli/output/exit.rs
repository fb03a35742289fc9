//! The exit codes of all commands. The command line parser itself exits with 2 for wrong usage.

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use crate::private_file::CreateError;
use crate::sync::INTERNAL_ERROR;

/// The result of a command, as an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum ExitStatus {
    /// The command is done.
    Done,
    /// The answer is no: a check failed, or the command would overwrite something.
    No,
    /// No error was found, but not everything could be checked.
    Incomplete,
    /// Wrong usage that is detected only after a file was read.
    WrongUsage,
    /// An internal error, or an error of the operating system (`EX_SOFTWARE`).
    Internal,
    /// The configuration has errors (`EX_CONFIG`).
    BadConfiguration,
    /// The exit code of a child process.
    OfChild(u8),
}

/// The reason why a command failed.
#[derive(Debug)]
pub(in crate::cli) struct CommandError {
    /// The exit code.
    pub(in crate::cli) status: ExitStatus,
    /// The error and the corrective action.
    pub(in crate::cli) message: String,
}

impl CommandError {
    pub(in crate::cli) fn new(status: ExitStatus, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { status, message }
    }

    pub(in crate::cli) fn usage(message: impl Into<String>) -> Self {
        Self::new(ExitStatus::WrongUsage, message)
    }

    pub(in crate::cli) fn internal(error: impl Display) -> Self {
        Self::new(ExitStatus::Internal, error.to_string())
    }

    /// Prints the message to standard error, and returns the exit code.
    pub(in crate::cli) fn report(self) -> ExitStatus {
        // If standard error is closed, the exit code is the only report.
        drop(writeln!(std::io::stderr(), "xks-proxy: {}", self.message));
        self.status
    }
}

impl From<CreateError> for CommandError {
    fn from(error: CreateError) -> Self {
        let status = match error {
            CreateError::Exists(_) => ExitStatus::No,
            CreateError::Failed(..) => ExitStatus::Internal,
        };
        Self::new(status, error.to_string())
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(match status {
            ExitStatus::Done => 0,
            ExitStatus::No => 1,
            ExitStatus::WrongUsage => 2,
            ExitStatus::Incomplete => 3,
            ExitStatus::Internal => INTERNAL_ERROR,
            ExitStatus::BadConfiguration => 78,
            ExitStatus::OfChild(code) => code,
        })
    }
}
