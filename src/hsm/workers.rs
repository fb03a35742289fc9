//! The front's side of the launcher: asks for workers, and learns how they end.
//!
//! # Invariants
//! - A worker that nobody holds is killed: [`WorkerProcess`] kills it when it is dropped, and so ends a start whose caller gave up.
//! - Descriptors that were lost because this process has none left fail the start, not the channel.

mod arriving;
mod channel;
mod client;
mod exchange;
mod order;
#[cfg(test)]
pub(in crate::hsm) mod played;

pub use client::Workers;
pub use order::{StartedWorker, WorkerProcess};
