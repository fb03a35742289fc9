//! `xks-proxy probe`: is this endpoint ready for KMS? One line per check, with a verdict, what was found and what to do.

mod certificate;
mod judge;
mod report;
mod rules;
mod trust;

pub use report::{Check, Report, Verdict};
pub use trust::TrustedRoots;
