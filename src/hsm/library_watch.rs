//! Detects that the file of the PKCS#11 library was replaced, so that an upgrade needs no restart of the proxy.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Weak;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::hsm::events::Event;
use crate::hsm::state::HsmState;
use crate::sync::thread;

/// The interval between two checks of the file.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// How long a new file must stay unchanged, so that a file that is still being written is not loaded.
const STABLE_FOR: Duration = Duration::from_secs(5);

/// Device, inode, size and modification time in nanoseconds.
type Fingerprint = (u64, u64, u64, i128);

/// Starts a thread that reports each new file to the supervisor until the HSM is removed. A thread, because a file system may hang.
///
/// # Errors
/// When the operating system cannot start a thread.
pub(super) fn start(state: Weak<HsmState>) -> io::Result<()> {
    thread("library-watch", move || watch(&state)).map(drop)
}

fn watch(state: &Weak<HsmState>) {
    let mut change = Change::default();
    loop {
        let Some(state) = state.upgrade() else {
            return;
        };
        let path = state.settings.load().module.clone();
        if let Some(now) = fingerprint(&path)
            && change.is_due(now, Instant::now())
        {
            tracing::info!(hsm = %state.name, "the PKCS#11 library was replaced; starting a worker with the new one");
            state.event_sender().send(Event::LibraryChanged);
        }
        drop(state);
        sleep(CHECK_INTERVAL);
    }
}

fn fingerprint(path: &Path) -> Option<Fingerprint> {
    let metadata = fs::metadata(path).ok()?;
    let modified = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
    Some((metadata.dev(), metadata.ino(), metadata.size(), modified))
}

/// The library file in use, and the file that may replace it.
#[derive(Default)]
struct Change {
    used: Option<Fingerprint>,
    /// A new file, and the time since which it is unchanged.
    new: Option<(Fingerprint, Instant)>,
}

impl Change {
    /// Returns whether a new file has been unchanged for [`STABLE_FOR`]. The first file is not new.
    fn is_due(&mut self, file: Fingerprint, now: Instant) -> bool {
        let used = *self.used.get_or_insert(file);
        if file == used {
            self.new = None;
            return false;
        }
        match self.new {
            Some((new, since)) if new == file => {
                let is_due = now.saturating_duration_since(since) >= STABLE_FOR;
                if is_due {
                    self.used = Some(file);
                    self.new = None;
                }
                is_due
            }
            _ => {
                self.new = Some((file, now));
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(size: u64) -> Fingerprint {
        (1, 2, size, 3)
    }

    #[test]
    fn a_new_file_is_used_after_it_stayed_unchanged() {
        let (mut change, start) = (Change::default(), Instant::now());
        let mut is_due =
            |size, seconds| change.is_due(file(size), start + Duration::from_secs(seconds));
        assert!(!is_due(1, 0), "the first file is in use");
        assert!(!is_due(2, 1));
        assert!(!is_due(3, 5), "still being written");
        assert!(!is_due(3, 9));
        assert!(is_due(3, 10));
        assert!(!is_due(3, 20), "already in use");
        assert!(!is_due(4, 21));
        assert!(!is_due(3, 22), "the old file is back");
        assert!(!is_due(4, 23));
        assert!(!is_due(4, 27));
        assert!(is_due(4, 28));
    }
}
