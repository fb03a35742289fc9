//! Logs what a PKCS#11 library writes to standard output and standard error.
//!
//! # Invariants
//! - The library never waits for the log: the pipe is read immediately, also when lines are dropped.
//! - A line is cut after [`MAX_LINE`] bytes. At most [`LINES_PER_MINUTE`] lines per minute are logged; the others are counted.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::time::timeout;

/// The longest line, in bytes.
const MAX_LINE: usize = 512;

const MINUTE: Duration = Duration::from_secs(60);

/// The maximum number of lines of one worker per minute.
const LINES_PER_MINUTE: u32 = 60;

/// Logs lines until the pipe ends.
pub(in crate::hsm) async fn relay(hsm: Arc<str>, output: OwnedFd) {
    let Ok(mut pipe) = pipe::Receiver::from_owned_fd(output) else {
        return tracing::warn!(%hsm, "the output of the library cannot be read");
    };
    let mut lines = Lines::new(hsm);
    let mut buffer = [0; 4_096];
    loop {
        match timeout(MINUTE, pipe.read(&mut buffer)).await {
            Ok(Ok(length @ 1..)) => lines.take(buffer.get(..length).unwrap_or_default()),
            Ok(Ok(0) | Err(_)) => break,
            Err(_quiet) => lines.report_left_out(),
        }
    }
    lines.end();
    lines.report_left_out();
}

struct Lines {
    hsm: Arc<str>,
    line: Vec<u8>,
    since: Instant,
    count: u32,
    left_out: u64,
}

impl Lines {
    fn new(hsm: Arc<str>) -> Self {
        Self {
            hsm,
            line: Vec::new(),
            since: Instant::now(),
            count: 0,
            left_out: 0,
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match byte {
                b'\n' => self.end(),
                _ if self.line.len() < MAX_LINE => self.line.push(*byte),
                _ => {}
            }
        }
    }

    /// Logs the line, if it is not empty.
    fn end(&mut self) {
        let line = std::mem::take(&mut self.line);
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        if text.is_empty() {
            return;
        }
        if self.since.elapsed() >= MINUTE {
            self.report_left_out();
            self.since = Instant::now();
            self.count = 0;
        }
        if self.count >= LINES_PER_MINUTE {
            self.left_out += 1;
            return;
        }
        self.count += 1;
        let hsm = &self.hsm;
        tracing::info!(%hsm, text, "output of the PKCS#11 library");
    }

    fn report_left_out(&mut self) {
        let (hsm, left_out) = (&self.hsm, std::mem::take(&mut self.left_out));
        if left_out > 0 {
            tracing::warn!(%hsm, left_out, "output lines of the PKCS#11 library were dropped");
        }
    }
}
