//! Processes by their entries in /proc.

use std::fs;
use std::time::{Duration, Instant};

use super::PATIENCE;

/// Returns whether a process runs. A zombie does not.
pub(super) fn runs(process: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let state = stat
        .rsplit_once(") ")
        .map(|(_, fields)| fields.chars().next());
    state.is_some_and(|state| !matches!(state, Some('Z' | 'X')))
}

/// Waits until a process has ended.
#[track_caller]
pub(super) fn await_end(process: u32) {
    let give_up = Instant::now() + PATIENCE;
    while runs(process) {
        assert!(Instant::now() < give_up, "process {process} does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The number of children of a process.
pub(super) fn children(parent: u32) -> usize {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    // Without `self` and `thread-self`.
    let is_process =
        |entry: &fs::DirEntry| entry.file_name().as_encoded_bytes()[0].is_ascii_digit();
    let entries = entries.filter(is_process);
    let stats = entries.filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
    let is_child = |stat: &String| {
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        fields.split(' ').nth(1) == Some(&parent.to_string())
    };
    stats.filter(is_child).count()
}
