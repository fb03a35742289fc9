//! The server's certificate: read with its key, checked, and shown in metrics.

mod chain;
mod checks;
pub(in crate::server) mod identity;
pub(in crate::server) mod metrics;
pub(in crate::server) mod problem;
