//! Assembly of a worker: the process in which the PKCS#11 library of one `[[hsm]]` runs.
//!
//! A worker starts in two stages, because a library must find the environment of its `[[hsm]]` from its first instruction on:
//!
//! 1. [`prepare()`] reads the settings from the configuration and sends them to the launcher. If the configuration cannot be used, it
//!    requests the last good settings from the launcher. It then executes this program again with only the environment of the settings.
//! 2. [`start`] requests the parts of the worker from the launcher: the settings, the control channel and the sockets of the sessions.
//!
//! Then `run` passes the sockets to [`crate::pkcs11`], which opens the token and serves the jobs.
//!
//! # Invariants
//! - The front chooses neither the library nor the environment nor the PIN: they come from the configuration file, or from the last good
//!   settings that the launcher kept.
//! - The library gets no environment variable of the service, except for `PATH` and the variables that the settings name.
//! - The worker has its own descriptors only. Programs that the library starts inherit none of them.

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

use crate::hsm_protocol::launch::launched;

/// The purpose of a worker. Its command line sets it, so the process at the other end of the control channel cannot change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To do the jobs of a front.
    Service,
    /// To answer the requests of a command of the operator.
    Administration,
}

/// Runs the second stage: the worker, until the front or the command closes the control channel.
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
