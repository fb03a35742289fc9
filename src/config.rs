//! The configuration: reads one TOML file, the files that it names, and the environment, and builds the settings of each module.
//!
//! Reading returns either a complete [`Configuration`], or **all** errors at once. Each error has the path of its key, its line and
//! what to do.
//!
//! # Invariants
//! - An unknown key is an error: a misspelt limit must not silently have its default value.
//! - No error or warning quotes a secret.

mod audit;
mod changes;
mod configuration;
mod files;
mod health;
mod hsm;
mod key_store;
mod log;
mod original;
mod outline;
mod policy;
mod reading;
mod server;
mod tables;

pub use crate::toml_file::text::credential_table;
pub use crate::toml_file::values::hex as parse_hex;
pub use crate::toml_file::{Finding, Findings, Sources};
pub use changes::{Change, Changes, keep_until_restart};
pub use configuration::{Configuration, Loaded};
pub use hsm::worker::settings_of;
pub use original::{NewVersion, Original};
pub use outline::{Outline, outline};
pub use reading::{Reading, load, load_original, parse, read, read_again, read_once};
pub use server::certificate::{CertificateReading, CertificateRefusal, UNUSABLE};

#[cfg(test)]
mod tests;
