//! Client authentication (mTLS): which certificates are accepted, and the result for each connection.

pub(in crate::server) mod classification;
pub(in crate::server) mod metrics;
pub(in crate::server) mod names;
pub(in crate::server) mod settings;
pub(in crate::server) mod verifier;
