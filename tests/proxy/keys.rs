//! Keys on the HSMs: proved, rejected, missing and changed.

mod key_changes;
mod key_proofs;
mod keys_missing;
mod rejected_keys;
