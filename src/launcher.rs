//! The launcher: the process that a service manager starts. It starts the front and, when the front asks, the workers.
//!
//! One thread waits for signals, for the ends of its processes and for frames. It opens no listening socket, reads no configuration and
//! holds no secret. [`crate::hsm_protocol::launch`] checks the frames of its processes. The launcher does not parse the settings of a worker.
//!
//! ```text
//! launcher ─┬─ front           requests workers; receives their descriptors, and reports of their ends
//!           └─ workers         each in its own process group
//! ```
//!
//! # Invariants
//! - When the front ends, all workers are killed and the launcher ends with the front's exit code.
//! - When the launcher ends, however that happens, the kernel kills its processes ([`crate::hsm_protocol::launch::launched`]).
//! - When a worker ends, its process group is killed before its process ID can be used again.
//! - A child inherits the descriptors 0, 1 and 2 only. It receives others over its channel.
//! - No signal is lost: signals that arrive before the front handles them are forwarded when it does.
//! - Wrong PINs do not add up to a locked token (see `logins`).
//! - No child can block the launcher: sending never waits, and a request is read only when the answers before it have been sent.

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
