//! The operations on KMS keys: their creation, state, aliases, policies and tags.

pub(in crate::simulator) mod aliases;
pub(in crate::simulator) mod create;
pub(in crate::simulator) mod describe;
pub(in crate::simulator) mod last_usage;
pub(in crate::simulator) mod metadata;
pub(in crate::simulator) mod policy;
pub(in crate::simulator) mod state;
pub(in crate::simulator) mod tags;
