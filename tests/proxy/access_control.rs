//! Access control: signatures, partitions, policies, quotas and disabled key stores.

mod authentication;
mod disabled;
mod partitions;
mod policy;
mod policy_errors;
mod quotas;
mod signatures;
mod signers;
