//! The files that a configuration names, and what is known of them.

use std::fs::Metadata;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::Section;

impl Section<'_> {
    /// Whether no secret is to be read.
    pub(in crate::config) fn withholds_secrets(&self) -> bool {
        self.document.withholds_secrets()
    }

    /// Remembers a directory whose files are read.
    pub(in crate::config) fn note_directory(&self, path: &Path) {
        self.document.note_directory(path);
    }

    /// Whether the content of each PIN is checked.
    pub(in crate::config) fn reads_pins(&self) -> bool {
        self.document.reads_pins()
    }

    /// Looks at a file that the configuration names and that another process reads.
    pub(in crate::config) fn look(&self, path: &Path) -> std::io::Result<Metadata> {
        self.document.look(path)
    }

    /// Every file that the configuration has named so far.
    pub(in crate::config) fn named_files(&self) -> Vec<PathBuf> {
        self.document
            .sources()
            .paths()
            .map(Path::to_owned)
            .collect()
    }

    /// Reads a file that the configuration names.
    pub(in crate::config) fn read(&self, path: &Path) -> std::io::Result<Zeroizing<Vec<u8>>> {
        self.document.read(path)
    }

    /// `path`, relative to the configuration file's directory.
    pub(in crate::config) fn resolve(&self, path: &str) -> PathBuf {
        self.document.resolve(path)
    }

    /// The configuration file; none when the configuration was not read from a file.
    pub(in crate::config) fn configuration_file(&self) -> Option<PathBuf> {
        self.document.sources().first().map(Path::to_owned)
    }

    /// The permissions that a file had when it was read; none when it was not.
    pub(in crate::config) fn mode_of(&self, path: &Path) -> Option<u32> {
        self.document.mode_of(path)
    }

    /// Lets secrets be readable for everybody.
    pub(in crate::config) fn allow_readable_secrets(&self) {
        self.document.allow_readable_secrets();
    }

    /// Whether secrets may be readable for everybody.
    pub(in crate::config) fn allows_readable_secrets(&self) -> bool {
        self.document.allows_readable_secrets()
    }

    /// Whether nothing was said of this directory yet. Many files are in one: it is named once.
    pub(in crate::config) fn is_first_report_of(&self, directory: &Path) -> bool {
        self.document.is_first_report_of(directory)
    }
}
