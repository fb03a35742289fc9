//! Functions that several key commands share: the configuration, the HSMs, and texts about keys.

use std::io::{self, Write as _};
use std::path::Path;

use serde_json::json;

use super::table;
use crate::cli::input::hsms::LoginOptions;
use crate::cli::input::{hsms, load};
use crate::cli::output::exit::{CommandError, ExitStatus};
use crate::config::Configuration;
use crate::hsm::HsmSettings;
use crate::inventory::{CreationError, HeldKey, Inventory};
use crate::keystore::KeyStoreSettings;

/// Reads the configuration.
pub(super) fn load(file: &Path) -> Result<Configuration, CommandError> {
    Ok(load::configuration(file)?.configuration)
}

/// Prints why no key was created: to standard output as JSON, or to standard error.
pub(super) fn report_error(error: &CreationError, as_json: bool) -> ExitStatus {
    let status = match error {
        CreationError::Unavailable(_) => ExitStatus::Incomplete,
        CreationError::NameInUse(_) | CreationError::Failed(_) => ExitStatus::No,
    };
    if !as_json {
        return CommandError::new(status, error.to_string()).report();
    }
    let report = json!({ "ok": false, "error": error.name(), "message": error.to_string() });
    // If standard output is closed, the exit code is the only report.
    drop(writeln!(io::stdout(), "{report}"));
    status
}

/// Opens the HSMs of these names.
pub(super) fn open(
    file: &Path,
    configuration: &Configuration,
    names: &[String],
    logins: &LoginOptions,
) -> Inventory {
    let is_named = |hsm: &&HsmSettings| names.iter().any(|name| **name == *hsm.name);
    hsms::open(file, configuration.hsms.iter().filter(is_named), logins)
}

/// Returns the key store of this name.
pub(super) fn store<'a>(
    configuration: &'a Configuration,
    name: &str,
) -> Result<&'a KeyStoreSettings, CommandError> {
    let mut stores = configuration.key_stores.iter();
    stores.find(|store| store.name == name).ok_or_else(|| {
        let known = configuration.key_stores.iter().map(|store| &*store.name);
        unknown("key store", name, known)
    })
}

/// Returns the error for an unknown name, with the known names.
pub(super) fn unknown<'a>(
    kind: &str,
    name: &str,
    known: impl Iterator<Item = &'a str>,
) -> CommandError {
    let known: Vec<&str> = known.collect();
    let message = format!(
        "no {kind} is named {name:?}; known are: {}",
        known.join(", ")
    );
    CommandError::usage(message)
}

/// Describes a key in one line.
pub(super) fn describe(key: &HeldKey) -> String {
    let name = name_of(key.label.as_deref().unwrap_or_default(), &key.cka_id);
    let (kind, protection) = (&key.kind, table::protection(key));
    format!("{name}, {kind}, {protection}, {}", key.usage.join(" + "))
}

/// Returns the label and the `CKA_ID` of a key, for messages.
pub(super) fn name_of(label: &str, cka_id: &str) -> String {
    match cka_id {
        "" => format!("label {label:?}, no CKA_ID"),
        id => format!("label {label:?}, CKA_ID {id}"),
    }
}

/// Returns instructions for HSMs that do not have the key.
pub(super) fn advice(name: &str, from: &str, missing_on: &[String]) -> String {
    format!(
        "These HSMs do not share keys: the key of {from} must be copied to {}. This command cannot copy it, and a new key there would have a different value.\n\
         Clone the key of {from} with the vendor's tool: the same value, {name}.\n",
        missing_on.join(", ")
    )
}
