//! Reading a trail: its files, plain or compressed, and their lines.

mod line_reader;
mod lines;
mod listing;
mod source;
mod zstd;

pub use lines::Lines;
pub use listing::{in_order, trail_files, unreadable_files};

pub(super) use line_reader::{CHUNK, MAX_LINE, read_line};
pub(super) use listing::{candidates, directory_of, first_seq};
pub(super) use source::{Identity, Source, identity_of};
