//! The times of the KMS API.

use std::time::SystemTime;

/// Seconds since 1970, to the millisecond, as KMS tells times.
pub(in crate::simulator) fn now() -> f64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let milliseconds = since.unwrap_or_default().as_millis();
    milliseconds as f64 / 1000.0
}
