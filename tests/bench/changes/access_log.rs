//! The proxy's own times, from its access log.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::connection::Outcome;

/// Returns the durations of the requests to a store with this status.
pub fn durations(log: &Path, store: &str, status: u64) -> Outcome<Vec<Duration>> {
    let mut durations = Vec::new();
    for line in BufReader::new(File::open(log)?).lines() {
        durations.extend(duration(&line?, store, status));
    }
    Ok(durations)
}

fn duration(line: &str, store: &str, status: u64) -> Option<Duration> {
    let line: Value = serde_json::from_str(line).ok()?;
    let is_wanted = line.get("key_store")?.as_str()? == store && line.get("status")? == status;
    let micros = line.get("duration_us")?.as_u64()?;
    is_wanted.then(|| Duration::from_micros(micros))
}
