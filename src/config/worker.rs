//! The settings of one worker, read by the worker itself.
//!
//! # Invariants
//! - Of the files that the configuration names, none is opened: no TLS key, no secret of a credential, no PIN. Of the worker's own PIN file the
//!   metadata is read.

use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::document::Document;
use super::report::Findings;
use super::section::Section;
use super::sources::Sources;
use super::{exposure, files, health, hsm};
use crate::hsm::Pkcs11Settings;

/// Reads the settings of the `[[hsm]]` named `hsm` from the configuration in `file`. Errors elsewhere in the file do not matter.
///
/// # Errors
/// In words for an operator: when the file cannot be read or is not TOML, everybody can change it, there is no such table, or the table, or
/// `health.interval`, has an error.
pub fn settings_of(file: &Path, hsm: &str) -> Result<Pkcs11Settings, String> {
    read(file, hsm).map_err(|faults| faults.to_string())
}

fn read(file: &Path, hsm: &str) -> Result<Pkcs11Settings, Findings> {
    let mut sources = Sources::default();
    let text = sources.text(file, Sources::read)?;
    let directory = file.parent().unwrap_or(Path::new("."));
    let document = Document::parse(&text, directory, sources)?;
    let settings = of(&document.root(), hsm);
    let mut settings = document.value_or_faults(settings)?;
    settings.secrets = secrets_of_others(&text, directory, settings.pin.path());
    Ok(settings)
}

/// The files with secrets that the configuration names, except for the worker's own PIN. They are not opened.
fn secrets_of_others(text: &str, directory: &Path, own: Option<&Path>) -> Vec<PathBuf> {
    let mut found = Vec::new();
    if let Ok(root) = DeTable::parse(text) {
        collect(root.get_ref(), &mut found);
    }
    let files = found.into_iter();
    let files = files.map(|file| files::absolute(&directory.join(file)));
    files.filter(|file| Some(file.as_path()) != own).collect()
}

/// Each `private_key`, and the `file` or `credential` of each table: that is how the configuration names secrets.
fn collect(table: &DeTable<'_>, found: &mut Vec<PathBuf>) {
    for (key, value) in table {
        match (&**key.get_ref(), value.get_ref()) {
            ("file" | "private_key", DeValue::String(file)) => found.push((&**file).into()),
            ("credential", DeValue::String(name)) => {
                found.extend(files::credential_path(name));
            }
            (_, value) => collect_below(value, found),
        }
    }
}

fn collect_below(value: &DeValue<'_>, found: &mut Vec<PathBuf>) {
    match value {
        DeValue::Table(table) => collect(table, found),
        DeValue::Array(items) => {
            let items = items.iter().map(|item| item.get_ref());
            items.for_each(|item| collect_below(item, found));
        }
        _ => {}
    }
}

fn of(root: &Section<'_>, name: &str) -> Option<Pkcs11Settings> {
    exposure::settings(root);
    exposure::check_configuration(root);
    let interval = health::interval(root);
    let sections = root.sections("hsm");
    let mut named = sections
        .iter()
        .filter(|section| section.is_word("name", name));
    let Some(section) = named.next() else {
        root.fault("hsm", format!("none is named {name:?}"));
        return None;
    };
    if let Some(second) = named.next() {
        second.fault(
            "name",
            format!("{name:?} is used twice; each must be of its own"),
        );
    }
    let settings = hsm::one(section, interval)?;
    Some(settings.for_worker())
}
