//! Files that a document names.

use std::fs::Metadata;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::Section;

impl Section<'_> {
    /// Returns whether random secrets replace all secrets.
    pub(crate) fn withholds_secrets(&self) -> bool {
        self.document.withholds_secrets()
    }

    /// Records a directory whose files are read.
    pub(crate) fn note_directory(&self, path: &Path) {
        self.document.note_directory(path);
    }

    /// Returns whether the content of each PIN is checked.
    pub(crate) fn reads_pins(&self) -> bool {
        self.document.reads_pins()
    }

    /// Reads the metadata of a file that the document names and that another process reads.
    pub(crate) fn metadata(&self, path: &Path) -> std::io::Result<Metadata> {
        self.document.metadata(path)
    }

    /// The files and directories that the document named so far.
    pub(crate) fn named_files(&self) -> Vec<PathBuf> {
        self.document
            .sources()
            .paths()
            .map(Path::to_owned)
            .collect()
    }

    /// Reads a file that the document names.
    pub(crate) fn read(&self, path: &Path) -> std::io::Result<Zeroizing<Vec<u8>>> {
        self.document.read(path)
    }

    /// Returns the absolute path for `path`, which is relative to the directory of the document.
    pub(crate) fn resolve(&self, path: &str) -> PathBuf {
        self.document.resolve(path)
    }

    /// The file of the document; `None` if the document was not read from a file.
    pub(crate) fn document_file(&self) -> Option<PathBuf> {
        self.document.sources().first().map(Path::to_owned)
    }

    /// Returns the permissions that a file had when it was read; `None` if it was not read.
    pub(crate) fn mode_of(&self, path: &Path) -> Option<u32> {
        self.document.mode_of(path)
    }

    /// Allows secret files that every user of the machine can read.
    pub(crate) fn allow_readable_secrets(&self) {
        self.document.allow_readable_secrets();
    }

    /// Returns whether secret files may be readable by every user of the machine.
    pub(crate) fn allows_readable_secrets(&self) -> bool {
        self.document.allows_readable_secrets()
    }

    /// Returns whether this is the first call for this directory. A directory has many files, but is reported once.
    pub(crate) fn is_first_report_of(&self, directory: &Path) -> bool {
        self.document.is_first_report_of(directory)
    }
}
