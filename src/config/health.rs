//! `[health]`.

use std::time::Duration;

use crate::toml_file::Section;

/// Health answers must be at most 60 s old. A longer interval would make them older.
const MAX_INTERVAL: Duration = Duration::from_secs(45);

const DEFAULT_INTERVAL: Duration = Duration::from_secs(20);

/// The `[health]` table.
pub(super) struct Health {
    pub(super) interval: Duration,
    pub(super) fleet_size: u32,
}

/// Reads the table.
pub(super) fn settings(root: &Section<'_>) -> Health {
    let mut health = Health {
        interval: DEFAULT_INTERVAL,
        fleet_size: 1,
    };
    let Some(section) = root.section("health") else {
        return health;
    };
    if let Some(interval) = interval_in(&section) {
        health.interval = interval;
    }
    if let Some(size) = section.integer("fleet_size", 1..=1_000) {
        health.fleet_size = u32::try_from(size).unwrap_or(1);
    }
    section.finish();
    health
}

/// Reads only `interval`; errors of other keys are ignored.
pub(super) fn interval(root: &Section<'_>) -> Duration {
    let section = root.section("health");
    let interval = section.and_then(|section| interval_in(&section));
    interval.unwrap_or(DEFAULT_INTERVAL)
}

fn interval_in(section: &Section<'_>) -> Option<Duration> {
    section.duration("interval", Duration::from_millis(100)..=MAX_INTERVAL)
}
