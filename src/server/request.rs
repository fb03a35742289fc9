//! The data of a request: its peer and its record, and from them its access log line and its metrics.

pub(super) mod access_log;
pub(super) mod metrics;
pub(super) mod peer;
pub(super) mod record;
pub(super) mod sample;
pub(super) mod trace_context;
