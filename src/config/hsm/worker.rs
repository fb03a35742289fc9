//! The settings of one worker, read by the worker itself.
//!
//! # Invariants
//! - None of the files that the configuration names is opened: no TLS key, no secret of a credential, no PIN. Only the metadata of
//!   the worker's own PIN file is read.

use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use crate::config::files::{self, exposure};
use crate::config::health;
use crate::hsm::Pkcs11Settings;
use crate::toml_file::unique::Unique;
use crate::toml_file::{Document, Findings, Section, Sources};

/// Reads the settings of the `[[hsm]]` named `hsm` from the configuration in `file`. Errors in other tables are ignored.
///
/// # Errors
/// All errors at once: the file cannot be read, is not TOML, or every user of the machine can change it; the table does not exist; or
/// the table or `health.interval` has an error.
pub fn settings_of(file: &Path, hsm: &str) -> Result<Pkcs11Settings, Findings> {
    let mut sources = Sources::default();
    let text = sources.text(file, Sources::read)?;
    let directory = file.parent().unwrap_or(Path::new("."));
    let document = Document::parse(&text, directory, sources)?;
    let settings = named(&Section::root(&document), hsm);
    let mut settings = document.into_result(settings)?;
    settings.secrets = secrets_of_others(&text, directory, settings.pin.path());
    Ok(settings)
}

/// Returns the secret files that the configuration names, except the worker's own PIN file. They are not opened.
fn secrets_of_others(text: &str, directory: &Path, own: Option<&Path>) -> Vec<PathBuf> {
    let mut found = Vec::new();
    if let Ok(root) = DeTable::parse(text) {
        collect(root.get_ref(), &mut found);
    }
    let files = found.into_iter();
    let files = files.map(|file| files::absolute(&directory.join(file)));
    files.filter(|file| Some(file.as_path()) != own).collect()
}

/// Adds each `private_key`, and the `file` or `credential` of each table: these keys name secret files.
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

fn named(root: &Section<'_>, name: &str) -> Option<Pkcs11Settings> {
    exposure::settings(root);
    exposure::check_document(root);
    let interval = health::interval(root);
    let sections = root.sections("hsm");
    let named: Vec<_> = sections
        .iter()
        .filter(|section| section.is_word("name", name))
        .collect();
    let Some(section) = named.first() else {
        root.error("hsm", format!("no [[hsm]] is named {name:?}"));
        return None;
    };
    let mut names = Unique::default();
    for section in &named {
        names.check(section, "name", name);
    }
    let settings = super::hsm(section, interval)?;
    Some(settings.for_worker())
}
