//! Checks that Cedar's validator does not have. Each finds rules, conditions or names that can have no effect.

mod comparisons;
mod conditions;
mod context;
mod names;
mod partition;
mod unreachable;

pub use names::Names;

pub(super) use conditions::warnings as constant_conditions;
pub(super) use names::{Literal, about_client_certificates, literals, warnings as unknown_names};
pub(super) use unreachable::warnings as unreachable_rules;
