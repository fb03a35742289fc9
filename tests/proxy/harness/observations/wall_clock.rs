//! The daemon's wall clock, moved by libfaketime: nobody else's, and not the monotonic clock, which no operator can set either.

use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::setup::Setup;

/// What the daemon takes for the time of day.
pub struct WallClock {
    offset: PathBuf,
}

impl WallClock {
    /// The clock of the proxy that is being set up; right until it is moved.
    pub fn of(setup: &mut Setup) -> Self {
        let clock = Self {
            offset: setup.directory.join("clock-offset"),
        };
        clock.set(0);
        let offset = clock.offset.display().to_string();
        let library = library().display().to_string();
        for (name, value) in [
            ("LD_PRELOAD", library.as_str()),
            ("FAKETIME_TIMESTAMP_FILE", &offset),
            // A jump counts from the next reading of the clock on.
            ("FAKETIME_NO_CACHE", "1"),
            ("DONT_FAKE_MONOTONIC", "1"),
            // Files keep their true times: a token's files do not change with the clock.
            ("NO_FAKE_STAT", "1"),
        ] {
            setup.variables.push((name.into(), value.into()));
        }
        clock
    }

    /// Sets the clock so many minutes off the truth.
    pub fn set(&self, minutes: i64) {
        let next = self.offset.with_extension("next");
        fs::write(&next, format!("{:+}\n", minutes * 60)).unwrap();
        // The daemon must not read half a number.
        fs::rename(next, &self.offset).unwrap();
    }
}

/// libfaketime for programs with threads, where Debian and Ubuntu put it. Without it the loader would only warn.
fn library() -> PathBuf {
    let architecture = std::env::consts::ARCH;
    let path = format!("/usr/lib/{architecture}-linux-gnu/faketime/libfaketimeMT.so.1");
    let path = Path::new(&path);
    assert!(
        path.exists(),
        "{} is missing: run tests/run, or install the package libfaketime",
        path.display()
    );
    path.to_path_buf()
}
