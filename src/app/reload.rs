//! Changes of the configuration while the proxy serves: noticed, read, applied or rejected as a whole, and reported.

pub(super) mod certificate;
pub(super) mod metrics;
mod not_applied;
pub(super) mod reloader;
pub(super) mod task;
pub(super) mod watcher;
