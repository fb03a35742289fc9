//! `pin` of `[[hsm]]`: a reference to the PIN.
//!
//! # Invariants
//! - PINs are read only for commands that check them, see [`Section::reads_pins`]. The front cannot read PIN files.

use std::path::Path;

use crate::config::files::{self, exposure};
use crate::hsm::{PinFingerprint, PinReference};
use crate::secret::text;
use crate::toml_file::Section;

const KEY: &str = "pin";

/// Reads the reference, or `"none"` for a token without login. A missing PIN is an error, and does not mean "none".
pub(super) fn reference(section: &Section<'_>) -> Option<PinReference> {
    if section.is_word(KEY, "none") {
        return Some(PinReference::None);
    }
    let (source, value) = files::source(section, KEY)?;
    if section.withholds_secrets() {
        return Some(PinReference::None);
    }
    let reference = match source {
        "file" => file(section, &section.resolve(value), |path, fingerprint| {
            PinReference::File { path, fingerprint }
        }),
        "credential" => {
            let path = files::credential(section, KEY, value)?;
            file(section, &path, |path, fingerprint| {
                PinReference::Credential { path, fingerprint }
            })
        }
        "env" => variable(section, value),
        _ => {
            section.error(KEY, "must not be in the configuration itself, which the front reads; write it to a file");
            None
        }
    }?;
    check_content(section, &reference)?;
    Some(reference)
}

fn file(
    section: &Section<'_>,
    path: &Path,
    reference: impl Fn(std::path::PathBuf, PinFingerprint) -> PinReference,
) -> Option<PinReference> {
    let metadata = match section.metadata(path) {
        Ok(metadata) => metadata,
        Err(error) => {
            section.error(KEY, files::unreadable(path, &error));
            return None;
        }
    };
    exposure::check_file(section, KEY, path);
    exposure::check_secret(section, KEY, path);
    if metadata.len() == 0 {
        section.error(KEY, text::EMPTY);
        return None;
    }
    Some(reference(
        files::absolute(path),
        PinFingerprint::of(&metadata),
    ))
}

fn variable(section: &Section<'_>, name: &str) -> Option<PinReference> {
    if std::env::var_os(name).is_none() {
        section.error(KEY, files::unset(name));
        return None;
    }
    Some(PinReference::Env {
        name: name.to_owned(),
    })
}

fn check_content(section: &Section<'_>, reference: &PinReference) -> Option<()> {
    if !section.reads_pins() {
        return Some(());
    }
    if let Some(warning) = reference.warning() {
        section.warn(KEY, warning);
    }
    let read = reference.read();
    read.map(drop)
        .map_err(|error| section.error(KEY, error.to_string()))
        .ok()
}
