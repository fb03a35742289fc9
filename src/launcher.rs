//! The launcher: the process that a service manager starts. It starts the front and, when the front asks, the workers.
//!
//! One thread waits for signals, for the ends of its processes and for frames. It opens no listening socket, reads no configuration and
//! holds no secret. What the processes send is checked by [`crate::hsm_protocol::launch`]; the settings of a worker are bytes that it does
//! not look into.
//!
//! ```text
//! launcher ─┬─ front           asks for workers, receives their descriptors and their ends
//!           └─ worker, each in a process group of its own
//! ```
//!
//! # Invariants
//! - When the front ends, all workers are killed and the launcher ends with the front's exit code.
//! - When the launcher ends, however that happens, the kernel kills its processes ([`crate::hsm_protocol::launched`]).
//! - The process group of a worker is killed when its leader ended, before the leader's process id can be used again.
//! - A child has the descriptors 0, 1 and 2 only. Others reach it over its channel.
//! - No signal is lost: those that come before the front handles signals are forwarded once it does.
//! - Attempts at a PIN do not add up (see `logins`).
//! - No peer can stop the launcher: it never waits for one to read, and it reads from one only what it has room to answer.

mod command;
mod logins;
mod plan;
mod processes;
mod restrict;
mod run;
mod signals;
mod standard_error;

pub use command::CommandWorkers;
pub use command::Print;
pub use plan::{Commands, Plan};
pub use run::run;

#[cfg(test)]
mod tests;
