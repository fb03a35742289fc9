//! Reload of the configuration while the proxy serves: detect changes, read, validate, apply or reject as a whole, report.

pub(super) mod certificate;
pub(super) mod metrics;
mod not_applied;
pub(super) mod reloader;
pub(super) mod task;
pub(super) mod watcher;
