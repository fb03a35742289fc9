//! Progress of what takes long, on the terminal of somebody who waits.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// Who waits less is not told.
const PATIENCE: Duration = Duration::from_secs(1);

/// Faster than this nobody reads.
const PERIOD: Duration = Duration::from_millis(200);

/// One line on standard error that is written over and over.
pub(super) struct Progress {
    next: Option<Instant>,
    is_shown: bool,
}

impl Progress {
    /// Begins to wait. Where standard error is no terminal, nothing is ever shown.
    pub(super) fn begin() -> Self {
        let is_watched = io::stderr().is_terminal();
        Self {
            next: is_watched.then(|| Instant::now() + PATIENCE),
            is_shown: false,
        }
    }

    /// Shows how far it has come, if it is time.
    pub(super) fn show(&mut self, text: impl FnOnce() -> String) {
        let now = Instant::now();
        if self.next.is_some_and(|next| next <= now) {
            self.next = Some(now + PERIOD);
            self.is_shown = true;
            // Nobody sees it then.
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
