//! Reads an audit trail: its files, plain or compressed, and their lines.

mod line_reader;
mod lines;
mod listing;
mod numbers;
mod source;
mod zstd;

pub use lines::Lines;
pub use listing::{LeftOut, Listing, in_order, list_audit_trail, trail_files};
pub use numbers::Breaks;

pub(super) use line_reader::{CHUNK, MAX_LINE, read_line};
pub(super) use listing::{candidates, directory_of, first_seq};
pub(super) use source::{Identity, Source, identity_of};
