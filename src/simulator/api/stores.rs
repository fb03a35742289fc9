//! The operations on custom key stores.

pub(in crate::simulator) mod connect;
pub(in crate::simulator) mod management;
pub(in crate::simulator) mod rules;
pub(in crate::simulator) mod update;
