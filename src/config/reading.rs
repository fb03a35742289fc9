//! Reads a configuration, for a proxy or for a command.

use std::path::Path;

use super::configuration::Loaded;
use super::original::Original;
use super::server::certificate::{CertificateReading, Certificates};
use super::tables;
use crate::server::ServerIdentity;
use crate::toml_file::{Document, Findings, Read, Section, Sources};

/// The result of reading a configuration, with the files that were read. A change of one of them is a reason to read again.
#[derive(Debug)]
pub struct Reading {
    /// The configuration, or all of its errors.
    pub outcome: Result<Loaded, Findings>,
    /// The findings about the server certificate.
    pub certificate: CertificateReading,
    /// The configuration file and the files that it names. After a syntax error, only the configuration file.
    pub sources: Sources,
}

impl Reading {
    fn failed(errors: Findings, sources: Sources) -> Self {
        Self {
            outcome: Err(errors),
            certificate: CertificateReading::default(),
            sources,
        }
    }
}

/// Reads the configuration in `file` and the files that it names. Relative paths are relative to the directory of `file`.
pub fn read(file: &Path) -> Reading {
    read_file(file, Sources::read, Options::default())
}

/// As [`read`], for a proxy that serves with the certificate `serving`. The configuration keeps that certificate unless KMS would
/// accept the one in the files.
pub fn read_again(file: &Path, serving: &ServerIdentity) -> Reading {
    let options = Options {
        serving: Some(serving.clone()),
        ..Options::default()
    };
    read_file(file, Sources::read, options)
}

/// As [`read`], for a command: each PIN is read, to check its content, and `file` may be a pipe.
pub fn read_once(file: &Path) -> Reading {
    read_file(file, Sources::read_any, Options::FOR_COMMANDS)
}

/// As [`read_once`], but without the findings about the server certificate.
///
/// # Errors
/// All errors at once.
pub fn load(file: &Path) -> Result<Loaded, Findings> {
    read_once(file).outcome
}

/// As [`load`], with the text, for commands that print a changed part of it.
///
/// # Errors
/// All errors at once.
pub fn load_original(file: &Path) -> Result<(Loaded, Original), Findings> {
    let mut sources = Sources::default();
    let text = sources.text(file, Sources::read_any)?;
    let directory = file.parent().unwrap_or(Path::new("."));
    let loaded = read_text(&text, directory, sources, Options::FOR_COMMANDS).outcome?;
    Ok((loaded, Original::new(text.to_string())))
}

/// Reads a configuration from its text. Relative paths are relative to `directory`.
///
/// # Errors
/// All errors at once.
pub fn parse(text: &str, directory: &Path) -> Result<Loaded, Findings> {
    read_text(text, directory, Sources::default(), Options::FOR_COMMANDS).outcome
}

/// The options in which readers of a configuration differ.
#[derive(Default)]
struct Options {
    /// The certificate with which a proxy serves now.
    serving: Option<ServerIdentity>,
    /// True if PINs are read. The front cannot read PIN files.
    reads_pins: bool,
}

impl Options {
    const FOR_COMMANDS: Self = Self {
        serving: None,
        reads_pins: true,
    };
}

fn read_file(file: &Path, read: Read, options: Options) -> Reading {
    let mut sources = Sources::default();
    let directory = file.parent().unwrap_or(Path::new("."));
    match sources.text(file, read) {
        Ok(text) => read_text(&text, directory, sources, options),
        Err(errors) => Reading::failed(errors, sources),
    }
}

fn read_text(text: &str, directory: &Path, sources: Sources, options: Options) -> Reading {
    let document = match Document::parse(text, directory, sources.clone()) {
        Ok(document) => document.reading_pins(options.reads_pins),
        Err(errors) => return Reading::failed(errors, sources),
    };
    let certificates = Certificates::serving(options.serving);
    let configuration = tables::read(&Section::root(&document), &certificates);
    let (sources, warnings) = (document.sources(), document.warnings());
    let outcome = document.into_result(configuration);
    Reading {
        outcome: outcome.map(|configuration| Loaded {
            configuration,
            warnings,
        }),
        certificate: certificates.into_reading(),
        sources,
    }
}
