//! Input of commands: files, the configuration, and the HSMs.

#[cfg(any(feature = "simulator", feature = "toolkit"))]
pub(super) mod files;
pub(super) mod hsms;
pub(super) mod load;
