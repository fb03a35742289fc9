//! A TOML document that collects faults instead of stopping at the first, and knows which files were read for it.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::fs::Metadata;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::DeTable;
use zeroize::Zeroizing;

use super::report::{CertificateReading, Finding, Findings};
use super::section::Section;
use super::sources::Sources;
use super::{Configuration, Loaded};
use crate::server::ServerIdentity;

/// A parsed file and what was found in it.
pub(super) struct Document<'a> {
    /// Where each line begins but the first.
    lines: Vec<usize>,
    root: DeTable<'a>,
    directory: PathBuf,
    withholds_secrets: bool,
    reads_pins: bool,
    allows_readable_secrets: Cell<bool>,
    reported: RefCell<HashSet<PathBuf>>,
    sources: RefCell<Sources>,
    serving: Option<ServerIdentity>,
    certificate: RefCell<CertificateReading>,
    faults: RefCell<Vec<Finding>>,
    warnings: RefCell<Vec<Finding>>,
}

impl<'a> Document<'a> {
    /// Parses TOML; its own errors are faults like any other, all of them at once.
    pub(super) fn parse(
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
            serving: None,
            certificate: RefCell::default(),
            faults: RefCell::default(),
            warnings: RefCell::default(),
        };
        match errors.is_empty() {
            true => Ok(document),
            false => Err(document.syntax_faults(&errors)),
        }
    }

    /// The same, but no secret is read: each is one that was just made up.
    pub(super) fn withholding_secrets(self) -> Self {
        Self {
            withholds_secrets: true,
            ..self
        }
    }

    /// Whether no secret is to be read.
    pub(super) fn withholds_secrets(&self) -> bool {
        self.withholds_secrets
    }

    /// The same, and the content of each PIN is checked if `reads_pins`.
    pub(super) fn reading_pins(self, reads_pins: bool) -> Self {
        Self { reads_pins, ..self }
    }

    /// Whether the content of each PIN is checked.
    pub(super) fn reads_pins(&self) -> bool {
        self.reads_pins
    }

    /// The same for a proxy that serves with this identity.
    pub(super) fn serving_with(self, serving: Option<ServerIdentity>) -> Self {
        Self { serving, ..self }
    }

    /// The identity that serves; none at the start.
    pub(super) fn serving(&self) -> Option<&ServerIdentity> {
        self.serving.as_ref()
    }

    /// Notes something about the certificate in the files.
    pub(super) fn note_certificate(&self, note: impl FnOnce(&mut CertificateReading)) {
        note(&mut self.certificate.borrow_mut());
    }

    /// What was found of the certificate.
    pub(super) fn certificate(&self) -> CertificateReading {
        self.certificate.borrow().clone()
    }

    /// How many faults there are so far.
    pub(super) fn faults_so_far(&self) -> usize {
        self.faults.borrow().len()
    }

    /// Takes those faults out that have come since there were so many.
    pub(super) fn take_faults(&self, since: usize) -> Vec<Finding> {
        let mut faults = self.faults.borrow_mut();
        let since = since.min(faults.len());
        faults.split_off(since)
    }

    fn syntax_faults(&self, errors: &[toml::de::Error]) -> Findings {
        let finding = |error: &toml::de::Error| Finding {
            key: String::new(),
            line: error.span().map(|span| self.line(&span)),
            message: format!("is not TOML: {}", error.message()),
        };
        Findings(errors.iter().map(finding).collect())
    }

    /// The whole document as a section.
    pub(super) fn root(&self) -> Section<'_> {
        Section::new(self, &self.root, String::new(), None)
    }

    /// Every file that was read so far.
    pub(super) fn sources(&self) -> Sources {
        self.sources.borrow().clone()
    }

    /// Notes a fault.
    pub(super) fn fault(&self, finding: Finding) {
        self.faults.borrow_mut().push(finding);
    }

    /// Notes something that should be known.
    pub(super) fn warn(&self, finding: Finding) {
        self.warnings.borrow_mut().push(finding);
    }

    /// What should be known so far.
    pub(super) fn warnings(&self) -> Vec<Finding> {
        self.warnings.borrow().clone()
    }

    /// `path`, relative to the configuration file's directory.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        self.directory.join(path)
    }

    /// Remembers a directory.
    pub(super) fn note_directory(&self, path: &Path) {
        self.sources.borrow_mut().note(path);
    }

    /// The permissions that a file had when it was read; none when it was not.
    pub(super) fn mode_of(&self, path: &Path) -> Option<u32> {
        self.sources.borrow().mode_of(path)
    }

    /// Lets secrets be readable for everybody.
    pub(super) fn allow_readable_secrets(&self) {
        self.allows_readable_secrets.set(true);
    }

    /// Whether secrets may be readable for everybody.
    pub(super) fn allows_readable_secrets(&self) -> bool {
        self.allows_readable_secrets.get()
    }

    /// Whether nothing was said of this directory yet.
    pub(super) fn is_first_report_of(&self, directory: &Path) -> bool {
        self.reported.borrow_mut().insert(directory.to_owned())
    }

    /// Looks at a file that another process reads, and remembers it.
    pub(super) fn look(&self, path: &Path) -> std::io::Result<Metadata> {
        self.sources.borrow_mut().look(path)
    }

    /// Reads a file and remembers that it did.
    pub(super) fn read(&self, path: &Path) -> std::io::Result<Zeroizing<Vec<u8>>> {
        self.sources.borrow_mut().read(path)
    }

    /// The configuration with its warnings, or the faults in the order of their lines.
    pub(super) fn outcome(self, configuration: Option<Configuration>) -> Result<Loaded, Findings> {
        let mut faults = self.faults.into_inner();
        let warnings = self.warnings.into_inner();
        faults.sort_by_key(|fault| fault.line.unwrap_or(usize::MAX));
        match configuration {
            Some(configuration) if faults.is_empty() => Ok(Loaded {
                configuration,
                warnings,
            }),
            _ => Err(Findings(faults)),
        }
    }

    /// `value`, or the faults in the order of their lines.
    pub(super) fn value_or_faults<T>(self, value: Option<T>) -> Result<T, Findings> {
        let mut faults = self.faults.into_inner();
        faults.sort_by_key(|fault| fault.line.unwrap_or(usize::MAX));
        match value {
            Some(value) if faults.is_empty() => Ok(value),
            _ => Err(Findings(faults)),
        }
    }

    /// The line of a place, from 1.
    pub(super) fn line(&self, span: &Range<usize>) -> usize {
        self.lines.partition_point(|begin| *begin <= span.start) + 1
    }
}
