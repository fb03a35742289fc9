//! Threads, tasks and locks that never fail silently.
//!
//! A panic is a defect of this program. [`Scope`] lists the work that may panic without ending the process: the request or the connection
//! fails, is counted, and others go on. A panic anywhere else ends the process with [`INTERNAL_ERROR`], so that the service manager starts
//! it again: a proxy without its reload, its log or the health check of an HSM must not go on as if nothing had happened.
//!
//! | to start | use | panic | end without being asked |
//! | --- | --- | --- | --- |
//! | a thread or task whose result somebody waits for | [`thread`], [`task`], [`blocking_task`] | ends the process | is its purpose |
//! | a thread or task without which the process is not whole | [`essential_thread`], [`essential_task`] | ends the process | ends the process |
//! | a task per connection or request | [`isolated_task`] | ends the task, counted by [`panics()`] | is its purpose |
//!
//! # Invariants
//! - No other module starts a thread or a task (`tests/architecture.rs`).
//! - After [`install_panic_hook`], a panic outside of a [`Scope`] ends the process, also in a thread that a dependency started.
//! - A lock that was held during a panic is not used again: [`poisoned`] ends the process.
//! - A [`Lock`] is one whose users the tests run in many orders.
//! - The message of a panic is logged only when it is a literal of the source code. Others may hold input or secrets; the location is enough.

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
