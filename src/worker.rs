//! Assembly of a worker: the process in which the PKCS#11 library of one `[[hsm]]` runs.
//!
//! A worker starts in two stages, because its environment must be the one of its `[[hsm]]` from the first instruction of a library on:
//!
//! 1. [`prepare()`] reads the settings from the configuration and gives them to the launcher, or gets the last good ones from there when the
//!    configuration cannot be used. It then executes this program again with the environment of the settings alone.
//! 2. [`start`] asks the launcher for its parts: the settings, the control channel and the sockets of the sessions.
//!
//! Then `run` passes the sockets to [`crate::pkcs11`], which opens the token and serves the jobs.
//!
//! # Invariants
//! - The front chooses neither the library nor the environment nor the PIN: they come from the configuration file, or from what the launcher
//!   kept of it.
//! - No variable of the service reaches the library, except `PATH` and what the settings name.
//! - The worker has no descriptors except its own, and none of them reaches a program that the library starts.

mod administration;
mod channels;
mod confinement;
mod error;
mod launcher;
mod log;
mod prepare;
mod run;
mod signals;
mod standard_error;

pub use error::WorkerError;
pub use launcher::link::{LauncherLink, LoginRefused};
pub use launcher::parts::WorkerParts;
pub use prepare::{Preparation, prepare};

use crate::hsm_protocol::launched;

/// What a worker is for. Its command line says that: the process at the other end of its control channel cannot change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It does the jobs of a front.
    Service,
    /// It does the requests of a command of the operator.
    Administration,
}

/// The second stage: runs the worker until the front, or the command, closes the control channel.
///
/// # Errors
/// [`WorkerError`].
pub fn start(purpose: Purpose) -> Result<(), WorkerError> {
    let channel = launched::take_channel().map_err(WorkerError::NotLaunched)?;
    signals::ignore()?;
    let parts = launcher::parts::receive_parts(channel)?;
    match purpose {
        Purpose::Service => run::run(parts),
        Purpose::Administration => administration::run(parts),
    }
}
