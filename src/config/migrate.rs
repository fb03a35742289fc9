//! The settings of AWS's sample proxy (`aws-kms-xks-proxy`, `settings.toml`) as a configuration of this one.
//!
//! # Invariants
//! - Each key of the settings is in the notes: carried over, or not and what to do instead, or not known here. Nothing is dropped silently.
//! - Nothing is invented: where the settings do not say what the configuration needs, it has a gap that `check-config` refuses.
//! - What the sample was told not to check is checked here all the same.
//! - No note quotes a secret; secrets go to files of their own.

mod hsm;
mod leftovers;
mod notes;
mod render;
mod server;
mod stores;

use std::path::{Path, PathBuf};

use super::create::{self, CreateError, NewFile};
use super::document::Document;
use super::report::Findings;
use super::section::Section;
use super::sources::Sources;
use crate::secret::Secret;

pub use notes::Notes;

/// The name of the configuration among the files.
pub const CONFIGURATION: &str = "config.toml";

/// What the settings do not say.
#[derive(Debug)]
pub struct Origin {
    /// The directory that the sample proxy ran in: its relative paths start there.
    pub working_directory: PathBuf,
    /// The label of the token that the sample proxy found in its first slot, if it is known.
    pub token_label: Option<String>,
}

/// What has become of the settings.
#[derive(Debug)]
pub struct Migration {
    /// `config.toml`.
    pub configuration: String,
    /// What was carried over, what was not and what is to do.
    pub notes: Notes,
    /// The secret files that the configuration names, relative to its directory.
    secrets: Vec<(String, Secret)>,
}

impl Migration {
    /// Writes the configuration and its secrets into `directory`, which is created if it is not there, and says which files it wrote.
    ///
    /// # Errors
    /// When one of the files exists already or cannot be written; then nothing was written.
    pub fn write(&self, directory: &Path) -> Result<Vec<PathBuf>, CreateError> {
        let mut files = vec![NewFile {
            path: directory.join(CONFIGURATION),
            content: Secret::new(self.configuration.clone()),
        }];
        files.extend(self.secrets.iter().map(|(name, secret)| NewFile {
            path: directory.join(name),
            content: secret.clone(),
        }));
        let is_new = create::create_directory(directory)?;
        let outcome = create::create_private(&files);
        if outcome.is_err() && is_new {
            // Best effort: an empty directory does no harm.
            drop(std::fs::remove_dir(directory));
        }
        outcome?;
        Ok(files.into_iter().map(|file| file.path).collect())
    }
}

/// What the sample's settings say, as far as there is a place for it.
struct Sample {
    server: server::Server,
    hsm: hsm::Hsm,
    stores: Vec<stores::Store>,
}

/// Reads the settings in `file`; writes nothing.
///
/// # Errors
/// All faults at once: the file cannot be read, is not TOML, or is not what the sample proxy would start with.
pub fn migrate(file: &Path, origin: &Origin) -> Result<Migration, Findings> {
    let text = Sources::default().text(file, Sources::read_any)?;
    convert(&text, origin)
}

fn convert(text: &str, origin: &Origin) -> Result<Migration, Findings> {
    let document = Document::parse(text, &origin.working_directory, Sources::default())?;
    let mut notes = Notes::default();
    let token_label = origin.token_label.as_deref();
    let sample = sample(&document.root(), token_label.is_some(), &mut notes);
    let sample = document.value_or_faults(sample)?;
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
        notes.rest(&limits, leftovers::LIMITS);
    }
    notes.rest(root, &[]);
    Some(Sample {
        server: server?,
        hsm: hsm?,
        stores: stores?,
    })
}

#[cfg(test)]
mod tests;
