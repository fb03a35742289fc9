//! The errors of opening an audit trail and of recording an entry.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// The reason why the audit trail could not be opened, or an entry could not be recorded.
#[derive(Debug, Error)]
pub enum AuditError {
    /// Another process writes this audit trail.
    #[error("another process holds {}: each proxy needs a different audit path", .0.display())]
    Locked(PathBuf),
    /// The file is not an audit trail.
    #[error("{} is not an audit trail of this proxy and is not changed: {}", .0.display(), .1)]
    Foreign(PathBuf, &'static str),
    /// The last line is a line of an audit trail, but it was changed.
    #[error("the last line of {} does not match its own hash: run `xks-proxy audit verify`, then move the file away", .0.display())]
    Damaged(PathBuf),
    /// The operating system reported an error.
    #[error("cannot use {}: {}", .0.display(), .1)]
    Unusable(PathBuf, #[source] io::Error),
    /// The disk did not respond before the time limit of the start.
    #[error("the disk of {} does not respond", .0.display())]
    Hangs(PathBuf),
    /// The line did not reach the file.
    #[error("the audit trail could not be written: {0}")]
    Unwritten(String),
    /// The audit trail has been stopped.
    #[error("the audit trail has been stopped")]
    Stopped,
}

impl AuditError {
    /// Returns whether a restart can succeed without a change of the configuration or the files: the disk is full, failing or does not respond.
    pub fn may_pass(&self) -> bool {
        use rustix::io::Errno;
        let passing = [
            Errno::IO,
            Errno::NOSPC,
            Errno::DQUOT,
            Errno::MFILE,
            Errno::NFILE,
            Errno::NOMEM,
        ];
        match self {
            Self::Unusable(_, error) => {
                let code = error.raw_os_error();
                code.is_some_and(|code| passing.iter().any(|errno| errno.raw_os_error() == code))
            }
            Self::Hangs(_) | Self::Unwritten(_) | Self::Stopped => true,
            Self::Locked(_) | Self::Foreign(..) | Self::Damaged(_) => false,
        }
    }

    /// Returns the conversion of an I/O error about this path, for `map_err`.
    pub(super) fn unusable(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Unusable(path, error)
    }
}
