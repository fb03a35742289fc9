//! Why a worker could not start.

use std::io;

use thiserror::Error;

/// Why a worker could not start.
#[derive(Debug, Error)]
pub enum WorkerError {
    /// Neither the configuration nor the launcher has settings that can be used.
    #[error("{0}")]
    Settings(String),
    /// No launcher started this process.
    #[error("{0}")]
    NotLaunched(io::Error),
    /// The system, or the launcher.
    #[error("{0}")]
    Io(#[from] io::Error),
}
