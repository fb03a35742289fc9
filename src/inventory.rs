//! The keys of the configuration on the HSMs: which HSM has which key, whether HSMs hold the same key, creation and rotation of keys.
//!
//! This module is for commands of the operator, not for the running proxy. It opens each HSM once, in a worker of the command.
//!
//! # Invariants
//! - The HSMs of one key store never get two different keys with the same name: one HSM could not decrypt what the other encrypted.
//! - Two HSMs count as holding the same key only if one has decrypted what the other encrypted. A label proves nothing.
//! - A key on an HSM that cannot be opened is unknown: it never counts as correct or as absent.

mod comparison;
mod creation;
mod devices;
mod encryptions;
mod error;
mod examination;
mod report;
mod rotation;
mod seals;
mod sharing;
mod token_report;
mod version;

pub use creation::{AffectedHsms, Created};
pub use devices::Inventory;
pub use encryptions::Encryptions;
pub use error::CreationError;
pub use report::{
    Examination, HeldKey, Holding, SameKey, SealKeyReport, TokenReport, VersionReport,
};
pub use rotation::{Rotated, Rotation};
pub use seals::Seals;
