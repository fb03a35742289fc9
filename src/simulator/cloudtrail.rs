//! CloudTrail, as far as it records calls of KMS: files in the layout of an S3 bucket, with records as AWS documents them, and with
//! records that are late, lost or there twice, if that is wanted.
//!
//! # Invariants
//! - A record holds names, ids and encryption contexts, and never a plaintext, a ciphertext, a secret or a grant token: the members of
//!   requests and answers that it may hold are listed.
//! - A file is whole when it has its name.

mod delivery;
mod entry;
mod faults;
mod files;
mod identity;
mod parameters;
mod record;
mod settings;
mod trail;

pub(super) use record::{Event, Touched};
pub use settings::{TrailFaults, TrailSettings};
pub(super) use trail::Trail;
pub use trail::TrailError;
