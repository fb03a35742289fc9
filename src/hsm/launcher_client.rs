//! The front's client of the launcher: starts workers and receives their exit status.
//!
//! # Invariants
//! - Dropping a [`WorkerProcess`] kills the worker. This also ends a start whose caller has stopped waiting.
//! - If this process has no descriptors left for a new worker, the start fails, but not the channel.

mod arriving;
mod channel;
mod client;
mod exchange;
#[cfg(test)]
pub(in crate::hsm) mod fake_launcher;
mod order;

pub use client::Workers;
pub use order::{StartedWorker, WorkerProcess};
