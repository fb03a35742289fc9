//! `xks-proxy probe`: checks whether an endpoint is ready for KMS. Each check is one line with a result, a finding and an action.
//!
//! # Invariants
//! - The probe trusts no certificate to connect: it accepts any chain and checks it afterwards, to report what is wrong with it.
//!   A signed request contains no confidential data.
//! - No finding contains a secret.

mod assessment;
mod authority;
mod calls;
mod certificate;
mod findings;
mod report;
mod rules;
mod run;
mod settings;
mod trust;
mod wire;

pub use report::{Check, CheckResult, Report};
pub use run::run;
pub use settings::Settings;
pub use trust::TrustedRoots;
