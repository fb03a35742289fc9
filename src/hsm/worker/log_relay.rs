//! Writes the log lines of a worker to the log of the proxy.
//!
//! # Invariants
//! - A worker, in which a vendor library runs, cannot flood the log. At most [`LINES_PER_SECOND`] lines per second are logged; the others
//!   are counted. Long lines are cut.
//! - Each line has the name of the HSM in `hsm`. A worker cannot change it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::hsm_protocol::{Line, LineLevel, short};

/// The maximum number of lines of one worker per second.
const LINES_PER_SECOND: u32 = 200;

/// The longest message, and the longest text of all fields, in bytes. Lines of the proxy's code are far shorter.
const MAX_MESSAGE: usize = 1_024;
const MAX_FIELDS: usize = 4_096;

/// The lines of one worker.
pub(in crate::hsm) struct LogRelay {
    hsm: Arc<str>,
    since: Instant,
    lines: u32,
    dropped: u64,
}

impl LogRelay {
    pub(in crate::hsm) fn new(hsm: &Arc<str>) -> Self {
        Self {
            hsm: Arc::clone(hsm),
            since: Instant::now(),
            lines: 0,
            dropped: 0,
        }
    }

    /// Logs a line, unless the limit is reached.
    pub(in crate::hsm) fn log_limited(&mut self, line: Line) {
        if self.since.elapsed() >= Duration::from_secs(1) {
            self.since = Instant::now();
            self.lines = 0;
        }
        self.dropped = self.dropped.saturating_add(line.lost);
        if self.lines >= LINES_PER_SECOND {
            self.dropped = self.dropped.saturating_add(1);
            return;
        }
        self.lines += 1;
        if self.dropped > 0 {
            let (hsm, lines) = (&self.hsm, std::mem::take(&mut self.dropped));
            tracing::warn!(%hsm, lines, "log lines of the worker were dropped");
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
