//! Why a worker could not start.

use std::io;

use thiserror::Error;

/// Why a worker could not start.
#[derive(Debug, Error)]
pub enum WorkerError {
    /// Neither the configuration nor the launcher has usable settings.
    #[error("{0}")]
    Settings(String),
    /// No launcher started this process.
    #[error("{0}")]
    NotLaunched(io::Error),
    /// A call to the operating system or to the launcher failed.
    #[error("{0}")]
    Io(#[from] io::Error),
}
