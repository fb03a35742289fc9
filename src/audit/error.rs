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
    /// The line did not reach the file.
    #[error("the audit trail could not be written: {0}")]
    Unwritten(String),
    /// The trail has been stopped.
    #[error("the audit trail has been stopped")]
    Stopped,
}

impl AuditError {
    /// For `map_err`.
    pub(super) fn unusable(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Unusable(path, error)
    }
}
