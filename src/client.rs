//! Calls to an XKS proxy, as KMS or anybody else makes them.
//!
//! # Invariants
//! - A secret access key is used to sign, and never shown.

pub mod raw;
