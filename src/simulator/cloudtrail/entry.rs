//! A finished record, with its account, Region and time.

use serde_json::Value;
use time::OffsetDateTime;

/// A record with its account, Region and time.
#[derive(Clone, Debug)]
pub(in crate::simulator) struct TrailRecord {
    pub(super) account: String,
    pub(super) region: String,
    /// In UTC.
    pub(super) time: OffsetDateTime,
    pub(super) value: Value,
}

/// Returns a time as `2022-11-24T00:26:58Z`.
pub(super) fn event_time(time: OffsetDateTime) -> String {
    let (date, clock) = (time.date(), time.time());
    format!(
        "{date}T{:02}:{:02}:{:02}Z",
        clock.hour(),
        clock.minute(),
        clock.second()
    )
}
