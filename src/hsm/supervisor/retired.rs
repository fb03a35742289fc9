//! A worker that does not serve any more but has not ended yet.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::hsm::worker::running::RunningWorker;

/// How long the jobs of a replaced worker may take. No request waits longer.
const ANSWER_PATIENCE: Duration = Duration::from_secs(5);

/// How long a worker may take to close its sessions before it is killed.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);

/// A worker that finishes its jobs and closes.
pub(super) struct Retired {
    pub running: Arc<RunningWorker>,
    since: Instant,
    closing_since: Option<Instant>,
}

impl Retired {
    pub(super) fn new(running: Arc<RunningWorker>) -> Self {
        Self {
            running,
            since: Instant::now(),
            closing_since: None,
        }
    }

    /// Closes the worker after its jobs are done. Kills it after a timeout. Returns whether it can be dropped.
    pub(super) fn advance(&mut self) -> bool {
        match self.closing_since {
            None if self.running.view.is_busy() && self.since.elapsed() < ANSWER_PATIENCE => false,
            None => {
                self.running.close();
                self.closing_since = Some(Instant::now());
                false
            }
            Some(since) => {
                let is_late = since.elapsed() > CLOSE_PATIENCE;
                if is_late {
                    self.running.process.kill();
                }
                is_late
            }
        }
    }
}
