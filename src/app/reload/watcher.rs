//! Notices when the configuration, or a file that it names, has changed, and reads it again; so it does when it is asked to.
//!
//! Files are looked at, not subscribed to: that works on every file system and for every way in which files are replaced (in place,
//! renamed over, a symbolic link that points elsewhere), and a look costs a microsecond.
//!
//! # Invariants
//! - Nothing that a path leads to keeps it from noticing the next change: see [`crate::read_file`].
//! - A change is read when a look finds the files as the look before did: files that belong together are read together, and none by
//!   halves. Only when files go on being replaced as wholes is that not waited for.
//! - What is wrong is read again at its next change, and not before.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use tokio::sync::mpsc;
// The monotonic clock of std, which a test can stop and move.
use tokio::time::Instant;

use crate::config::{self, Reading, Sources};
use crate::server::ServerIdentity;
use crate::sync::{End, essential_thread};

/// How often the files are looked at. Twice this, and the reading, pass between a change and its effect.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How long files that go on changing are waited for.
const SETTLING_PATIENCE: Duration = Duration::from_millis(500);

/// Asks for the configuration to be read again, as on SIGHUP.
#[derive(Clone)]
pub(in crate::app) struct Ask(SyncSender<()>);

impl Ask {
    /// Asks. Many asks before the next reading are one.
    pub(in crate::app) fn ask(&self) {
        match self.0.try_send(()) {
            // One more that waits would read the same; without a watcher the proxy is ending.
            Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(())) => {}
        }
    }
}

/// Starts watching. Each reading is given out once it has been made; the next is made when that one has been taken.
///
/// # Errors
/// When the operating system gives no thread.
pub(in crate::app) fn start(
    file: PathBuf,
    sources: Sources,
    serving: ServerIdentity,
) -> std::io::Result<(Ask, mpsc::Receiver<Reading>)> {
    let (ask, asked) = sync_channel(1);
    let (give, readings) = mpsc::channel(1);
    let mut watcher = Watcher {
        file,
        sources,
        serving,
        seen: Seen::Unchanged,
    };
    essential_thread("xks-config", move || {
        while watcher.wait(&asked) {
            if give.blocking_send(watcher.read()).is_err() {
                break;
            }
        }
        // Nobody takes what is read any more: the proxy is stopping.
        End::Requested
    })?;
    Ok((Ask(ask), readings))
}

struct Watcher {
    file: PathBuf,
    /// As they were read.
    sources: Sources,
    /// The certificate of the last configuration without faults.
    serving: ServerIdentity,
    seen: Seen,
}

/// What the look before saw.
enum Seen {
    /// What was read.
    Unchanged,
    /// Something else, and since when there has been something else.
    Changed(Sources, Instant),
}

impl Watcher {
    /// Waits until there is something to read; false: nobody will want it any more.
    fn wait(&mut self, asked: &Receiver<()>) -> bool {
        loop {
            match asked.recv_timeout(LOOK_EVERY) {
                Ok(()) => return true,
                Err(RecvTimeoutError::Disconnected) => return false,
                Err(RecvTimeoutError::Timeout) if self.look() => return true,
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Whether there is a change that has settled.
    fn look(&mut self) -> bool {
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
        assert!(!watcher.look() && !watcher.look());
        fs::write(&file, "ab").unwrap();
        assert!(!watcher.look(), "just changed");
        fs::write(&file, "abc").unwrap();
        assert!(!watcher.look(), "still being written");
        assert!(watcher.look(), "as it was a moment ago");
        drop(watcher.read());
        assert!(!watcher.look());
        fs::remove_file(&file).unwrap();
        assert!(!watcher.look());
        assert!(watcher.look(), "gone, and not coming back");
        drop(watcher.read());
        assert!(!watcher.look(), "a fault is not read again and again");
    }

    #[tokio::test(start_paused = true)]
    async fn files_that_are_replaced_all_the_time_are_read_all_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("config.toml");
        fs::write(&file, "a").unwrap();
        let mut watcher = watcher(file.clone());
        let mut text = String::new();
        let mut replaced_and_seen = || {
            // Each is longer than the one before: two files can have the same inode number and time.
            text.push('b');
            let new = directory.path().join("new");
            fs::write(&new, &text).unwrap();
            fs::rename(new, &file).unwrap();
            watcher.look()
        };
        let looks = SETTLING_PATIENCE.as_millis() / LOOK_EVERY.as_millis();
        for look in 0..looks {
            assert!(!replaced_and_seen(), "read at look {look}");
            advance(LOOK_EVERY).await;
        }
        assert!(replaced_and_seen(), "never read");
    }

    #[test]
    fn who_is_asked_reads_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("config.toml");
        let (ask, mut readings) = start(file, Sources::default(), identity()).unwrap();
        ask.ask();
        assert!(readings.blocking_recv().unwrap().outcome.is_err());
    }
}
