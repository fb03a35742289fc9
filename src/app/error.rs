//! Why the proxy could not start.

use std::io;

use thiserror::Error;

use super::request_threads::InvalidThreads;
use crate::audit::AuditError;
use crate::config::Findings;
use crate::metrics::MetricsError;

/// Why the proxy could not start.
#[derive(Debug, Error)]
pub enum AppError {
    /// The configuration, or a file that it names, has errors.
    #[error("the configuration has errors; nothing was started:\n{0}")]
    Configuration(Findings),
    /// A file system with a file of the configuration did not answer. The same start may succeed later.
    #[error("a file system does not answer; nothing was started:\n{0}")]
    NoAnswer(Findings),
    /// A socket, a thread or a signal handler could not be created.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The environment sets an invalid number of threads.
    #[error("{0}; nothing was started")]
    Threads(#[from] InvalidThreads),
    /// Two modules declared one metric: a defect of this program.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// The audit trail cannot be opened.
    #[error("audit: {0}")]
    Audit(#[from] AuditError),
    /// The process already has a log, or no thread can be started for it.
    #[error("the log cannot be set up: {0}")]
    Log(String),
}
