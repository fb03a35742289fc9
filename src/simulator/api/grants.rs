//! The operations on grants.

pub(in crate::simulator) mod management;
pub(in crate::simulator) mod parties;
