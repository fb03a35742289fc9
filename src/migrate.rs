//! Converts the settings of AWS's sample proxy (`aws-kms-xks-proxy`, `settings.toml`) into a configuration of this proxy.
//!
//! # Invariants
//! - The notes contain each key of the settings: carried over, not carried over, or unknown. No key is dropped silently.
//! - No value is invented. Where a value is missing, the configuration has a gap that `check-config` rejects.
//! - Checks that the settings disable in the sample are always active in the configuration.
//! - No note quotes a secret. Each secret is written to a separate file.

mod hsm;
mod leftovers;
mod notes;
mod render;
mod sample;
mod server;
mod stores;

use std::path::{Path, PathBuf};

use crate::private_file::{self, CreateError, NewFile};
use crate::secret::Secret;
use crate::toml_file::{Document, Findings, Section, Sources};
use sample::Sample;

pub use notes::Notes;

/// The file name of the configuration.
pub const CONFIGURATION: &str = "config.toml";

/// The input that the settings do not contain.
#[derive(Debug)]
pub struct Origin {
    /// The working directory of the sample proxy. Relative paths of the settings are relative to it.
    pub working_directory: PathBuf,
    /// The label of the token in the first slot, which the sample proxy used, if it is known.
    pub token_label: Option<String>,
}

/// The result of a migration.
#[derive(Debug)]
pub struct Migration {
    /// `config.toml`.
    pub configuration: String,
    /// Which settings were carried over, which were not, and what remains to do.
    pub notes: Notes,
    /// The secret files that the configuration names, relative to its directory.
    secrets: Vec<(String, Secret)>,
}

impl Migration {
    /// Writes the configuration and its secrets into `directory`, which is created if it does not exist. Returns the files.
    ///
    /// # Errors
    /// If one of the files exists already or cannot be written; then no file was written.
    pub fn write(&self, directory: &Path) -> Result<Vec<PathBuf>, CreateError> {
        let mut files = vec![NewFile {
            path: directory.join(CONFIGURATION),
            content: Secret::new(self.configuration.clone()),
        }];
        files.extend(self.secrets.iter().map(|(name, secret)| NewFile {
            path: directory.join(name),
            content: secret.clone(),
        }));
        let is_new = private_file::create_directory(directory)?;
        let outcome = private_file::create_private(&files);
        if outcome.is_err() && is_new {
            // An empty directory that cannot be removed is harmless.
            drop(std::fs::remove_dir(directory));
        }
        outcome?;
        Ok(files.into_iter().map(|file| file.path).collect())
    }
}

/// Reads the settings in `file`. Writes no file.
///
/// # Errors
/// All errors at once: the file cannot be read, is not TOML, or the sample proxy would not start with it.
pub fn migrate(file: &Path, origin: &Origin) -> Result<Migration, Findings> {
    let text = Sources::default().text(file, Sources::read_any)?;
    convert(&text, origin)
}

fn convert(text: &str, origin: &Origin) -> Result<Migration, Findings> {
    let document = Document::parse(text, &origin.working_directory, Sources::default())?;
    let mut notes = Notes::default();
    let token_label = origin.token_label.as_deref();
    let sample = sample(&Section::root(&document), token_label.is_some(), &mut notes);
    let sample = document.into_result(sample)?;
    Ok(Migration {
        configuration: render::configuration(&sample, token_label),
        secrets: render::secrets(sample),
        notes: notes.in_order(),
    })
}

fn sample(root: &Section<'_>, has_label: bool, notes: &mut Notes) -> Option<Sample> {
    let server = server::read(root, notes);
    let hsm = hsm::read(root, has_label, notes);
    let stores = stores::read(root, notes);
    if let Some(limits) = root.section("limits") {
        notes.drop_rest(&limits, leftovers::LIMITS);
    }
    notes.drop_rest(root, &[]);
    Some(Sample {
        server: server?,
        hsm: hsm?,
        stores: stores?,
    })
}

#[cfg(test)]
mod tests;
