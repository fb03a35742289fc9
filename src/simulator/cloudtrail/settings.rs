//! The settings of CloudTrail.

use std::path::PathBuf;
use std::time::Duration;

/// The settings of CloudTrail.
#[derive(Clone, Debug)]
pub struct TrailSettings {
    /// The directory that stands for the bucket.
    pub directory: PathBuf,
    /// The interval between deliveries.
    pub interval: Duration,
    /// Injected faults.
    pub faults: TrailFaults,
}

/// Injected faults of the delivery. With `Some(n)`, every n-th record has the fault.
#[derive(Clone, Copy, Debug, Default)]
pub struct TrailFaults {
    /// Records that are never delivered.
    pub lost: Option<u64>,
    /// Records that are delivered twice, with the same event id, the second time with the next delivery.
    pub doubled: Option<u64>,
    /// Records that are delivered late.
    pub late: Option<u64>,
    /// The delay of late records.
    pub late_by: Duration,
}
