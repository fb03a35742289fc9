//! Reads the configuration again when it, or a file that it names, has changed, and when a reload is requested.
//!
//! Files are polled: that works on every file system and for every way of replacing files (written in place, renamed over, a symbolic link
//! that changes), and one check costs a microsecond.
//!
//! # Invariants
//! - No file can block the next check: see [`crate::read_file`].
//! - A change is read when two checks in a row find the same files. So files that belong together are read together, and no half-written
//!   file is read. Files that keep being replaced as a whole are read after [`SETTLING_PATIENCE`].
//! - After an error, the files are read again only when they change or a reload is requested.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use tokio::sync::mpsc;
// A monotonic clock that a test can stop and advance.
use tokio::time::Instant;

use crate::config::{self, Reading, Sources};
use crate::server::ServerIdentity;
use crate::sync::{End, essential_thread};

/// Interval between checks. A change takes effect after at most twice this, plus the time to read.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// How long files may keep changing before they are read anyway.
const SETTLING_PATIENCE: Duration = Duration::from_millis(500);

/// Requests reloads, as SIGHUP does.
#[derive(Clone)]
pub(in crate::app) struct Ask(SyncSender<()>);

impl Ask {
    /// Requests a reload. Several requests before the next reading count as one.
    pub(in crate::app) fn ask(&self) {
        match self.0.try_send(()) {
            // A request is pending already, or the proxy is stopping.
            Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(())) => {}
        }
    }
}

/// Starts watching in a thread. The channel holds one reading; the next one is made when it has been received.
///
/// # Errors
/// When the operating system cannot start a thread.
pub(in crate::app) fn start(
    file: PathBuf,
    sources: Sources,
    serving: ServerIdentity,
) -> std::io::Result<(Ask, mpsc::Receiver<Reading>)> {
    let (ask, asked) = sync_channel(1);
    let (sender, readings) = mpsc::channel(1);
    let mut watcher = Watcher {
        file,
        sources,
        serving,
        seen: Seen::Unchanged,
    };
    essential_thread("xks-config", move || {
        while watcher.wait(&asked) {
            if sender.blocking_send(watcher.read()).is_err() {
                break;
            }
        }
        // The receiver was dropped: the proxy is stopping.
        End::Requested
    })?;
    Ok((Ask(ask), readings))
}

struct Watcher {
    file: PathBuf,
    /// The files as they were when they were last read.
    sources: Sources,
    /// The certificate of the last valid configuration.
    serving: ServerIdentity,
    seen: Seen,
}

/// The result of the previous check.
enum Seen {
    /// The files as they were last read.
    Unchanged,
    /// Different files, and when a difference was first found.
    Changed(Sources, Instant),
}

impl Watcher {
    /// Waits until there is something to read. Returns false when no reading is needed any more.
    fn wait(&mut self, asked: &Receiver<()>) -> bool {
        loop {
            match asked.recv_timeout(CHECK_INTERVAL) {
                Ok(()) => return true,
                Err(RecvTimeoutError::Disconnected) => return false,
                Err(RecvTimeoutError::Timeout) if self.has_settled_change() => return true,
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Checks the files. Returns whether they have changed and settled.
    fn has_settled_change(&mut self) -> bool {
        let now = self.sources.now();
        if now == self.sources {
            self.seen = Seen::Unchanged;
            return false;
        }
        let (is_settled, since) = match &self.seen {
            Seen::Unchanged => (false, Instant::now()),
            Seen::Changed(before, since) => {
                let is_late = since.elapsed() >= SETTLING_PATIENCE;
                let is_settled = now == *before || (is_late && !now.are_being_written(before));
                (is_settled, *since)
            }
        };
        self.seen = Seen::Changed(now, since);
        is_settled
    }

    fn read(&mut self) -> Reading {
        let reading = config::read_again(&self.file, &self.serving);
        if let Ok(loaded) = &reading.outcome {
            self.serving = loaded.configuration.server.tls.identity.clone();
        }
        self.sources = reading.sources.clone();
        self.seen = Seen::Unchanged;
        reading
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    use tokio::time::advance;

    fn identity() -> ServerIdentity {
        let pair = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
        let (certificate, key) = (pair.cert.pem(), pair.signing_key.serialize_pem());
        ServerIdentity::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap()
    }

    fn watcher(file: PathBuf) -> Watcher {
        let mut watcher = Watcher {
            file,
            sources: Sources::default(),
            serving: identity(),
            seen: Seen::Unchanged,
        };
        drop(watcher.read());
        watcher
    }

    #[test]
    fn a_change_is_read_when_it_has_settled() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("config.toml");
        fs::write(&file, "a").unwrap();
        let mut watcher = watcher(file.clone());
        assert!(!watcher.has_settled_change() && !watcher.has_settled_change());
        fs::write(&file, "ab").unwrap();
        assert!(!watcher.has_settled_change(), "just changed");
        fs::write(&file, "abc").unwrap();
        assert!(!watcher.has_settled_change(), "still being written");
        assert!(watcher.has_settled_change(), "as it was a moment ago");
        drop(watcher.read());
        assert!(!watcher.has_settled_change());
        fs::remove_file(&file).unwrap();
        assert!(!watcher.has_settled_change());
        assert!(watcher.has_settled_change(), "gone for two checks");
        drop(watcher.read());
        assert!(
            !watcher.has_settled_change(),
            "an error is not read again and again"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn files_that_keep_changing_are_read_after_a_while() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("config.toml");
        fs::write(&file, "a").unwrap();
        let mut watcher = watcher(file.clone());
        let mut text = String::new();
        let mut replace_and_check = || {
            // Each file is longer than the previous one: two files can have the same inode number and time.
            text.push('b');
            let new = directory.path().join("new");
            fs::write(&new, &text).unwrap();
            fs::rename(new, &file).unwrap();
            watcher.has_settled_change()
        };
        let looks = SETTLING_PATIENCE.as_millis() / CHECK_INTERVAL.as_millis();
        for look in 0..looks {
            assert!(!replace_and_check(), "read at look {look}");
            advance(CHECK_INTERVAL).await;
        }
        assert!(replace_and_check(), "never read");
    }

    #[test]
    fn a_request_causes_a_reading_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("config.toml");
        let (ask, mut readings) = start(file, Sources::default(), identity()).unwrap();
        ask.ask();
        assert!(readings.blocking_recv().unwrap().outcome.is_err());
    }
}
