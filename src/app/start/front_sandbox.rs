//! The sandbox of the front process, from the files of the first reading of the configuration.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::first_reading::FirstReading;
use crate::config::Reading;
use crate::read_file;
use crate::sandbox::{Front, Protections, ReadRules};

/// The applied sandbox.
pub(in crate::app) struct FrontSandbox {
    protections: Protections,
    reads: Arc<ReadRules>,
    /// The PIN files that the sandbox hides, and those that were reported.
    pins: HashSet<PathBuf>,
}

impl FrontSandbox {
    /// Restricts the process for its lifetime. Call it while the process has one thread. A protection that cannot be applied does not
    /// prevent the start: [`FrontSandbox::log`] reports it.
    pub(in crate::app) fn apply(start: &FirstReading) -> Self {
        let sandbox = sandbox_for(start);
        let protections = sandbox.apply();
        Self {
            reads: Arc::new(protections.reads().clone()),
            protections,
            pins: sandbox.unreadable.into_iter().collect(),
        }
    }

    /// Logs the active and the missing protections. Call it after the log was started.
    pub(in crate::app) fn log(&self) {
        self.protections.log("front");
    }

    /// Logs files of a reloaded configuration that this process cannot read, and new PIN files that it can read. A restart fixes both.
    pub(in crate::app) fn report(&mut self, reading: &Reading) {
        let files = reading.sources.own_files();
        for file in files.filter(|file| reading.outcome.is_err() && self.hides(file)) {
            tracing::error!(
                process = "front",
                file = %file.display(),
                "the sandbox hides this file, because it was created after the start in a directory above a PIN file; restart the proxy, or use a directory that existed at the start"
            );
        }
        for file in reading.sources.files_of_others() {
            if self.pins.insert(file.to_owned()) && !self.hides(file) {
                tracing::warn!(
                    process = "front",
                    file = %file.display(),
                    "a PIN file that the configuration did not name at the start is not hidden from this process; restart the proxy to hide it"
                );
            }
        }
    }

    /// Returns whether the file exists and the sandbox hides it. If the file system does not answer, returns false.
    fn hides(&self, file: &Path) -> bool {
        let reads = Arc::clone(&self.reads);
        let hides =
            read_file::with_timeout(file, move |file| Ok(file.exists() && !reads.allows(file)));
        hides.unwrap_or(false)
    }
}

fn sandbox_for(start: &FirstReading) -> Front {
    let owned = |path: &Path| path.to_owned();
    let audit = start.loaded.configuration.audit.as_ref();
    Front {
        readable: start.sources.own_files().map(owned).collect(),
        credentials: std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from),
        writable: audit
            .map(|audit| owned(audit.directory()))
            .into_iter()
            .collect(),
        unreadable: start.sources.files_of_others().map(owned).collect(),
    }
}
