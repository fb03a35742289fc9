//! A finished record, with its account, Region and time.

use serde_json::Value;
use time::OffsetDateTime;

/// A record, with where and when it belongs.
#[derive(Clone, Debug)]
pub(in crate::simulator) struct Record {
    pub(super) account: String,
    pub(super) region: String,
    /// UTC, whole seconds.
    pub(super) time: OffsetDateTime,
    pub(super) value: Value,
}

/// `2022-11-24T00:26:58Z`.
pub(super) fn event_time(time: OffsetDateTime) -> String {
    let (date, clock) = (time.date(), time.time());
    format!(
        "{date}T{:02}:{:02}:{:02}Z",
        clock.hour(),
        clock.minute(),
        clock.second()
    )
}
