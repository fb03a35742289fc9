//! Access control: signatures, partitions, policies, quotas and disabled key stores.

mod authentication;
mod kill_switch;
mod partitions;
mod policy;
mod policy_faults;
mod quotas;
mod signatures;
mod signers;
