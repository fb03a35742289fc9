//! `xks-proxy probe`: is this endpoint ready for KMS? One line per check, with a verdict, what was found and what to do.
//!
//! # Invariants
//! - No certificate is trusted in order to ask: the chain is taken as it comes and judged, so that what is wrong with it can be said.
//!   A request is signed and holds nothing that is worth keeping from whoever answers.
//! - Nothing found holds a secret.

mod authority;
mod calls;
mod certificate;
mod findings;
mod judge;
mod report;
mod rules;
mod run;
mod settings;
mod trust;
mod wire;

pub use report::{Check, Report, Verdict};
pub use run::run;
pub use settings::Settings;
pub use trust::TrustedRoots;
