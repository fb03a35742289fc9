//! Writing a trail: the queue, the thread that writes, its file, and where a start finds the end of the chain.

mod chain_end;
mod crash;
mod disk;
mod file;
mod inbox;
mod inspect;
mod pace;
mod position;
mod seals;
mod start;
mod tail;
mod writer;

pub(super) use disk::System;
#[cfg(test)]
pub(super) use disk::{Access, Disk};
pub(super) use inbox::{Message, Outbox, Outcome, Slot, State, Waiting};
pub(super) use inspect::inspect;
pub use position::last_recorded;
#[cfg(test)]
pub(super) use position::path_beside;
#[cfg(test)]
pub(super) use start::Found;
pub(super) use start::find;
pub(super) use writer::Writer;
