//! The CloudTrail records of KMS calls, in files with the layout of an S3 bucket. On request, records are late, lost or delivered twice.
//!
//! # Invariants
//! - A record has names, ids and encryption contexts, but no plaintext, ciphertext, secret or grant token. A list names the parameters
//!   that are recorded.
//! - A file gets its name after it is complete.

mod delivery;
mod entry;
mod faults;
mod files;
mod identity;
mod parameters;
mod record;
mod settings;
mod trail;

pub(super) use record::{FinishedCall, UsedKey};
pub use settings::{TrailFaults, TrailSettings};
pub(super) use trail::CloudTrail;
pub use trail::TrailError;
