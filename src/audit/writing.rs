//! Writing a trail: the queue, the thread that writes, its file, and where a start finds the end of the chain.

mod chain_end;
mod crash;
mod disk;
mod file;
mod inbox;
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
#[cfg(test)]
pub(super) use position::path_beside;
pub(super) use start::{Found, find};
pub(super) use writer::Writer;
