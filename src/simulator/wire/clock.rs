//! The times of the KMS API.

use std::time::SystemTime;

/// Returns the current time in the form of KMS: seconds since 1970, with a resolution of one millisecond.
pub(in crate::simulator) fn now() -> f64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let milliseconds = since.unwrap_or_default().as_millis();
    milliseconds as f64 / 1000.0
}
