//! `pin` of `[[hsm]]`: where the PIN is.
//!
//! # Invariants
//! - No PIN is read but for commands that check it or log in, see [`Section::reads_pins`]: the process that serves has no access to PIN files.

use std::path::Path;

use crate::config::section::Section;
use crate::config::{exposure, files};
use crate::hsm::{PinFingerprint, PinReference};
use crate::secret::text;

const KEY: &str = "pin";

/// The reference, or `"none"` for a token without a login: that a PIN was forgotten must not look like that.
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
            section.fault(KEY, "must not be in the configuration itself, which the process that serves reads; write it to a file");
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
    let metadata = match section.look(path) {
        Ok(metadata) => metadata,
        Err(error) => {
            section.fault(KEY, files::unreadable(path, &error));
            return None;
        }
    };
    exposure::check_file(section, KEY, path);
    exposure::check_secret(section, KEY, path);
    if metadata.len() == 0 {
        section.fault(KEY, text::EMPTY);
        return None;
    }
    Some(reference(
        files::absolute(path),
        PinFingerprint::of(&metadata),
    ))
}

fn variable(section: &Section<'_>, name: &str) -> Option<PinReference> {
    if std::env::var_os(name).is_none() {
        section.fault(KEY, files::unset(name));
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
        .map_err(|error| section.fault(KEY, error.to_string()))
        .ok()
}
