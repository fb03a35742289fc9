//! TOML files that operators write: reading them, and collecting all of their errors at once.
//!
//! `Document` parses a text and collects errors and warnings. `Section` reads the values of one table, and reports keys that
//! its caller did not read. [`Sources`] records the files that were read, to detect later changes.
//!
//! # Invariants
//! - No error or warning quotes a secret.

pub(crate) mod document;
mod findings;
pub(crate) mod section;
mod sources;
pub(crate) mod text;
pub(crate) mod unique;
pub(crate) mod values;

pub(crate) use document::Document;
pub use findings::{Finding, Findings};
pub(crate) use section::Section;
pub(crate) use sources::Read;
pub use sources::Sources;
