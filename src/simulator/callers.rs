//! The callers of KMS: their credentials, and what the simulator knows of each.

pub(super) mod caller;
pub(super) mod credentials;
pub(super) mod principals;
