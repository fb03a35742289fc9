//! The wall clock of the daemon, moved by libfaketime. The monotonic clock is unchanged: operators cannot set it either.

use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::setup::Setup;

/// The wall clock of the daemon.
pub struct WallClock {
    offset: PathBuf,
}

impl WallClock {
    /// Adds a clock to the setup of a proxy. It is right until a test moves it.
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
            // A jump takes effect at the next reading of the clock.
            ("FAKETIME_NO_CACHE", "1"),
            ("DONT_FAKE_MONOTONIC", "1"),
            // Files keep their real times: the files of a token do not change with the clock.
            ("NO_FAKE_STAT", "1"),
        ] {
            setup.variables.push((name.into(), value.into()));
        }
        clock
    }

    /// Sets the clock to this many minutes from the real time.
    pub fn set(&self, minutes: i64) {
        let next = self.offset.with_extension("next");
        fs::write(&next, format!("{:+}\n", minutes * 60)).unwrap();
        // The daemon must not read a part of a number.
        fs::rename(next, &self.offset).unwrap();
    }
}

/// Returns libfaketime for programs with threads, in the directory of Debian and Ubuntu. Without it the loader would only warn.
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
