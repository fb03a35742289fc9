//! Shows the progress of a command on a terminal.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// Shorter waits show no progress.
const DELAY: Duration = Duration::from_secs(1);

/// The interval between two updates, so that the text is readable.
const PERIOD: Duration = Duration::from_millis(200);

/// One line on standard error, which each update overwrites.
pub(in crate::cli) struct Progress {
    next: Option<Instant>,
    is_shown: bool,
}

impl Progress {
    /// Starts the delay. If standard error is not a terminal, nothing is shown.
    pub(in crate::cli) fn begin() -> Self {
        let is_terminal_output = io::stderr().is_terminal();
        Self {
            next: is_terminal_output.then(|| Instant::now() + DELAY),
            is_shown: false,
        }
    }

    /// Shows the text if an update is due.
    pub(in crate::cli) fn show(&mut self, text: impl FnOnce() -> String) {
        let now = Instant::now();
        if self.next.is_some_and(|next| next <= now) {
            self.next = Some(now + PERIOD);
            self.is_shown = true;
            // If standard error is closed, nothing is shown.
            drop(write!(io::stderr(), "\r\u{1b}[K{}", text()));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_shown {
            drop(write!(io::stderr(), "\r\u{1b}[K"));
        }
    }
}
