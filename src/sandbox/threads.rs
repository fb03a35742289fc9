//! A sandbox needs a process with one thread: Landlock restricts the calling thread only (before ABI 8).

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::error::SandboxError;

/// How long other threads, which have read the configuration, may take to end.
const PATIENCE: Duration = Duration::from_secs(2);

/// Interval between checks.
const POLL: Duration = Duration::from_millis(1);

/// Waits until the calling thread is the only one.
///
/// # Errors
/// When other threads have not ended in time. Without `/proc`, threads cannot be counted, and the call succeeds.
pub(super) fn wait_until_single() -> Result<(), SandboxError> {
    let began = Instant::now();
    loop {
        let Ok(tasks) = fs::read_dir("/proc/self/task") else {
            return Ok(());
        };
        let count = tasks.count();
        if count <= 1 {
            return Ok(());
        }
        if began.elapsed() >= PATIENCE {
            return Err(SandboxError::Threads(count));
        }
        sleep(POLL);
    }
}
