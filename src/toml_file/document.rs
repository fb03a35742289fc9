//! A TOML document that collects all errors instead of stopping at the first, and records the files that were read for it.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::fs::Metadata;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::DeTable;
use zeroize::Zeroizing;

use super::findings::{Finding, Findings};
use super::sources::Sources;

/// A parsed file, with the errors and warnings that were found in it so far.
pub(crate) struct Document<'a> {
    /// The offset of each line except the first.
    lines: Vec<usize>,
    root: DeTable<'a>,
    directory: PathBuf,
    withholds_secrets: bool,
    reads_pins: bool,
    allows_readable_secrets: Cell<bool>,
    reported: RefCell<HashSet<PathBuf>>,
    sources: RefCell<Sources>,
    errors: RefCell<Vec<Finding>>,
    warnings: RefCell<Vec<Finding>>,
    #[cfg(test)]
    read_keys: RefCell<std::collections::BTreeSet<String>>,
}

impl<'a> Document<'a> {
    /// Parses TOML.
    ///
    /// # Errors
    /// All syntax errors at once.
    pub(crate) fn parse(
        text: &'a str,
        directory: &Path,
        sources: Sources,
    ) -> Result<Self, Findings> {
        let (root, errors) = DeTable::parse_recoverable(text);
        let ends = text.match_indices('\n').map(|(at, _)| at + 1);
        let document = Self {
            lines: ends.collect(),
            root: root.into_inner(),
            directory: directory.to_owned(),
            withholds_secrets: false,
            reads_pins: false,
            allows_readable_secrets: Cell::new(false),
            reported: RefCell::default(),
            sources: RefCell::new(sources),
            errors: RefCell::default(),
            warnings: RefCell::default(),
            #[cfg(test)]
            read_keys: RefCell::default(),
        };
        match errors.is_empty() {
            true => Ok(document),
            false => Err(document.syntax_errors(&errors)),
        }
    }

    /// Returns the same document, for which no secret is read: random ones take their places.
    pub(crate) fn withholding_secrets(self) -> Self {
        Self {
            withholds_secrets: true,
            ..self
        }
    }

    /// Returns whether random secrets replace all secrets.
    pub(crate) fn withholds_secrets(&self) -> bool {
        self.withholds_secrets
    }

    /// Returns the same document, for which the content of each PIN is checked if `reads_pins`.
    pub(crate) fn reading_pins(self, reads_pins: bool) -> Self {
        Self { reads_pins, ..self }
    }

    /// Returns whether the content of each PIN is checked.
    pub(crate) fn reads_pins(&self) -> bool {
        self.reads_pins
    }

    /// Returns the number of errors so far.
    pub(crate) fn error_count(&self) -> usize {
        self.errors.borrow().len()
    }

    /// Removes and returns all errors except the first `kept`.
    pub(crate) fn take_errors_after(&self, kept: usize) -> Vec<Finding> {
        let mut errors = self.errors.borrow_mut();
        let kept = kept.min(errors.len());
        errors.split_off(kept)
    }

    fn syntax_errors(&self, errors: &[toml::de::Error]) -> Findings {
        let finding = |error: &toml::de::Error| Finding {
            key: String::new(),
            line: error.span().map(|span| self.line(&span)),
            message: format!("is not TOML: {}", error.message()),
        };
        Findings(errors.iter().map(finding).collect())
    }

    /// The table of the whole document.
    pub(super) fn table(&self) -> &DeTable<'a> {
        &self.root
    }

    /// The files that were read so far.
    pub(crate) fn sources(&self) -> Sources {
        self.sources.borrow().clone()
    }

    /// Adds an error.
    pub(super) fn error(&self, finding: Finding) {
        self.errors.borrow_mut().push(finding);
    }

    /// Adds a warning.
    pub(super) fn warn(&self, finding: Finding) {
        self.warnings.borrow_mut().push(finding);
    }

    /// The warnings so far.
    pub(crate) fn warnings(&self) -> Vec<Finding> {
        self.warnings.borrow().clone()
    }

    /// Returns the absolute path for `path`, which is relative to the directory of the document.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        self.directory.join(path)
    }

    /// Records a directory whose files are read.
    pub(super) fn note_directory(&self, path: &Path) {
        self.sources.borrow_mut().note_directory(path);
    }

    /// Returns the permissions that a file had when it was read; `None` if it was not read.
    pub(super) fn mode_of(&self, path: &Path) -> Option<u32> {
        self.sources.borrow().mode_of(path)
    }

    /// Allows secret files that every user of the machine can read.
    pub(super) fn allow_readable_secrets(&self) {
        self.allows_readable_secrets.set(true);
    }

    /// Returns whether secret files may be readable by every user of the machine.
    pub(super) fn allows_readable_secrets(&self) -> bool {
        self.allows_readable_secrets.get()
    }

    /// Returns whether this is the first call for this directory.
    pub(super) fn is_first_report_of(&self, directory: &Path) -> bool {
        self.reported.borrow_mut().insert(directory.to_owned())
    }

    /// Reads the metadata of a file that another process reads, and records the file.
    pub(super) fn metadata(&self, path: &Path) -> std::io::Result<Metadata> {
        self.sources.borrow_mut().metadata(path)
    }

    /// Reads a file and records it.
    pub(super) fn read(&self, path: &Path) -> std::io::Result<Zeroizing<Vec<u8>>> {
        self.sources.borrow_mut().read(path)
    }

    /// Returns `value` if the document has no error.
    ///
    /// # Errors
    /// All errors, in the order of their lines.
    pub(crate) fn into_result<T>(self, value: Option<T>) -> Result<T, Findings> {
        let mut errors = self.errors.into_inner();
        errors.sort_by_key(|error| error.line.unwrap_or(usize::MAX));
        match value {
            Some(value) if errors.is_empty() => Ok(value),
            _ => Err(Findings(errors)),
        }
    }

    /// Records that a key was read, by its path.
    #[cfg(test)]
    pub(super) fn note_read_key(&self, path: String) {
        self.read_keys.borrow_mut().insert(path);
    }

    /// The paths of all keys that were read, also of keys that the text does not have.
    #[cfg(test)]
    pub(crate) fn read_keys(&self) -> std::collections::BTreeSet<String> {
        self.read_keys.borrow().clone()
    }

    /// Returns the number of the line in which `span` begins; the first line is 1.
    pub(super) fn line(&self, span: &Range<usize>) -> usize {
        self.lines.partition_point(|begin| *begin <= span.start) + 1
    }
}
