//! Log lines of a worker become lines of the proxy's log.
//!
//! # Invariants
//! - A worker, in which the library of a vendor runs, cannot flood the log: [`LINES_PER_SECOND`] lines, the others are counted,
//!   and long ones are cut.
//! - Its lines bear the name of its HSM, whatever they say.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::hsm_protocol::{Line, LineLevel, short};

/// The most lines of one worker in a second.
const LINES_PER_SECOND: u32 = 200;

/// The longest message, in bytes, and the longest text of all fields. A line of ours is far below that.
const MAX_MESSAGE: usize = 1_024;
const MAX_FIELDS: usize = 4_096;

/// The lines of one worker.
pub(super) struct LogRelay {
    hsm: Arc<str>,
    since: Instant,
    lines: u32,
    left_out: u64,
}

impl LogRelay {
    pub(super) fn new(hsm: &Arc<str>) -> Self {
        Self {
            hsm: Arc::clone(hsm),
            since: Instant::now(),
            lines: 0,
            left_out: 0,
        }
    }

    /// Logs a line.
    pub(super) fn pass_on(&mut self, line: Line) {
        if self.since.elapsed() >= Duration::from_secs(1) {
            self.since = Instant::now();
            self.lines = 0;
        }
        self.left_out = self.left_out.saturating_add(line.lost);
        if self.lines >= LINES_PER_SECOND {
            self.left_out = self.left_out.saturating_add(1);
            return;
        }
        self.lines += 1;
        if self.left_out > 0 {
            let (hsm, lines) = (&self.hsm, std::mem::take(&mut self.left_out));
            tracing::warn!(%hsm, lines, "log lines of the worker are left out");
        }
        self.log(line);
    }

    fn log(&self, line: Line) {
        let Line {
            level,
            message,
            mut fields,
            ..
        } = line;
        let message = short(&message, MAX_MESSAGE);
        fields.insert("hsm".to_owned(), Value::from(&*self.hsm));
        let mut relayed = Value::from(fields).to_string();
        if relayed.len() > MAX_FIELDS {
            relayed =
                json!({"hsm": &*self.hsm, "fields_left_out_bytes": relayed.len()}).to_string();
        }
        match level {
            LineLevel::Error => tracing::error!(relayed, "{message}"),
            LineLevel::Warn => tracing::warn!(relayed, "{message}"),
            LineLevel::Info => tracing::info!(relayed, "{message}"),
            LineLevel::Debug => tracing::debug!(relayed, "{message}"),
        }
    }
}
