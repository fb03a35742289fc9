//! Writing a trail: the queue, the thread that writes, its file, and where a start finds the end of the chain.

mod disk;
mod file;
mod position;
mod start;
mod writer;

pub(super) use disk::System;
#[cfg(test)]
pub(super) use disk::{Access, Disk};
pub use position::last_recorded;
#[cfg(test)]
pub(super) use position::path_beside;
#[cfg(test)]
pub(super) use start::Found;
pub(super) use start::{find, inspect};
pub(super) use writer::{Message, Outbox, Outcome, Slot, State, Waiting, Writer};
