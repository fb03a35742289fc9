//! Threads, tasks and locks that never fail silently.
//!
//! A panic is a defect of this program. [`Scope`] lists the work that may panic without ending the process: the request or the connection
//! fails, the panic is counted, and other work continues. Any other panic ends the process with [`INTERNAL_ERROR`], and the service manager
//! restarts it: a proxy must not continue without its reload, its log or the health check of an HSM.
//!
//! | to start | use | effect of a panic | effect of an unrequested end |
//! | --- | --- | --- | --- |
//! | a thread or task whose result is awaited | [`thread`], [`task`], [`blocking_task`] | ends the process | none |
//! | a thread or task that the process cannot work without | [`essential_thread`], [`essential_task`] | ends the process | ends the process |
//! | a task per connection or request | [`isolated_task`] | ends the task, counted by [`panics()`] | none |
//!
//! # Invariants
//! - No other module starts a thread or a task (`tests/architecture.rs`).
//! - After [`install_panic_hook`], a panic outside of a [`Scope`] ends the process, also in a thread that a dependency started.
//! - A lock that was held during a panic is not used again: [`poisoned`] ends the process.
//! - Tests run the users of a [`Lock`] in many orders.
//! - The message of a panic is logged only when it is a literal of the source code. Other messages may contain input or secrets.

mod fatal;
mod lock;
mod panics;
mod report;
#[cfg(test)]
pub(crate) mod schedule;
mod scope;
mod spawn;
mod task_name;

pub use fatal::{INTERNAL_ERROR, set_last_action};
pub use lock::{Lock, poisoned};
pub use panics::install_panic_hook;
pub use scope::{Panicked, Scope, contained, contained_future, panics};
pub use spawn::{
    End, blocking_task, essential_task, essential_thread, isolated_task, task, task_on, thread,
};

#[cfg(test)]
mod tests;
