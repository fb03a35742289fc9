//! The settings of a trail.

use std::path::PathBuf;
use std::time::Duration;

/// How a trail is written.
#[derive(Clone, Debug)]
pub struct TrailSettings {
    /// The root of the bucket.
    pub directory: PathBuf,
    /// From one delivery to the next.
    pub interval: Duration,
    /// Faults of the delivery.
    pub faults: TrailFaults,
}

/// Faults of a delivery; each is of every so-many-th record, none without a number.
#[derive(Clone, Copy, Debug, Default)]
pub struct TrailFaults {
    /// Records that are never delivered.
    pub lost: Option<u64>,
    /// Records that are delivered twice, with the same event id, the second time with the next delivery.
    pub doubled: Option<u64>,
    /// Records that are delivered late.
    pub late: Option<u64>,
    /// By how much.
    pub late_by: Duration,
}
