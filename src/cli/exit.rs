//! The exit codes of all commands. Wrong usage is 2, by the command line's parser.

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use crate::config::CreateError;
use crate::sync::INTERNAL_ERROR;

/// How a command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExitStatus {
    /// Done.
    Done,
    /// The answer is no: a check failed, or doing it would destroy something.
    No,
    /// Nothing speaks against it, but not everything could be checked.
    Incomplete,
    /// Wrong usage that only shows once a file has been read.
    WrongUsage,
    /// Something of ours, or of the machine's, went wrong (`EX_SOFTWARE`).
    Internal,
    /// The configuration has faults (`EX_CONFIG`).
    BadConfiguration,
    /// The code of the process that did the work.
    OfChild(u8),
}

/// Why a command did not do what it was asked: what it says on standard error, and how it ends.
#[derive(Debug)]
pub(super) struct Refusal {
    /// How the command ends.
    pub(super) status: ExitStatus,
    /// What was wrong and what to do.
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn new(status: ExitStatus, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { status, message }
    }

    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self::new(ExitStatus::WrongUsage, message)
    }

    pub(super) fn internal(error: impl Display) -> Self {
        Self::new(ExitStatus::Internal, error.to_string())
    }

    /// Says why, and gives the exit code.
    pub(super) fn tell(self) -> ExitStatus {
        // Without standard error there is nobody to tell; the exit code still does.
        drop(writeln!(std::io::stderr(), "xks-proxy: {}", self.message));
        self.status
    }
}

impl From<CreateError> for Refusal {
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
