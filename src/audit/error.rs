//! Why there is no trail, or no line in it.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why the trail could not be opened, or an entry not be recorded.
#[derive(Debug, Error)]
pub enum AuditError {
    /// Another process writes this trail.
    #[error("another process holds {}: each proxy needs an audit path of its own", .0.display())]
    Locked(PathBuf),
    /// What lies there is something else.
    #[error("{} is not an audit trail of this proxy and is left alone: {}", .0.display(), .1)]
    Foreign(PathBuf, &'static str),
    /// The last line is ours, but it has been changed.
    #[error("the last line of {} does not match its own hash: run `xks-proxy audit verify`, then move the file away", .0.display())]
    Damaged(PathBuf),
    /// The operating system refuses.
    #[error("cannot use {}: {}", .0.display(), .1)]
    Unusable(PathBuf, #[source] io::Error),
    /// The start waited in vain for the disk.
    #[error("the disk of {} does not answer", .0.display())]
    Hangs(PathBuf),
    /// The line did not reach the file.
    #[error("the audit trail could not be written: {0}")]
    Unwritten(String),
    /// The trail has been stopped.
    #[error("the audit trail has been stopped")]
    Stopped,
}

impl AuditError {
    /// Whether a new start may succeed although nobody has changed the configuration or the files: the disk is full, broken or hangs.
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

    /// For `map_err`.
    pub(super) fn unusable(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Unusable(path, error)
    }
}
