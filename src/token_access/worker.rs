//! The interface to a worker of a command.

use std::io;
use std::time::Instant;

use thiserror::Error;

use crate::hsm_protocol::launch::WorkerEnd;

/// Starts the workers of a command.
pub trait StartWorker {
    /// Starts a worker for the `[[hsm]]` of this name.
    ///
    /// # Errors
    /// If the system cannot start a process.
    fn start(&self, hsm: &str) -> io::Result<Box<dyn Worker>>;
}

/// A worker of a command. Its process ends when it is dropped.
pub trait Worker {
    /// Sends a frame.
    ///
    /// # Errors
    /// [`WorkerFault`], except [`WorkerFault::Hangs`].
    fn send(&mut self, frame: &[u8]) -> Result<(), WorkerFault>;

    /// Receives a frame before the deadline.
    ///
    /// # Errors
    /// [`WorkerFault`].
    fn receive(&mut self, deadline: Instant) -> Result<Vec<u8>, WorkerFault>;

    /// Kills the process.
    fn kill(&mut self);
}

/// Why a worker does not answer.
#[derive(Debug, Error)]
pub enum WorkerFault {
    /// It did not answer before the deadline.
    #[error("no answer")]
    Hangs,
    /// Its process ended.
    #[error("the process of the PKCS#11 library ended: {0}")]
    Ended(WorkerEnd),
    /// Communication with it failed.
    #[error("the process of the PKCS#11 library cannot be used: {0}")]
    Io(#[from] io::Error),
}
