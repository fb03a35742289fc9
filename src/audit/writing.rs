//! Writes an audit trail: the queue, the writer's thread, its file, and the search for the end of the chain at a start.

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
pub(super) use start::FoundTrail;
pub(super) use start::{find, inspect};
pub(super) use writer::{
    Message, Queue, QueuedEntry, RecordResult, SharedEntry, Writer, WriterState,
};
