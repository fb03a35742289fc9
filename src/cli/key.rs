//! `xks-proxy key …`.

mod create;
mod list;
mod rotate;
mod table;

use std::path::Path;

use clap::Subcommand;

use super::exit::{ExitStatus, Refusal};
use crate::cli::hsms::LoginOptions;
use crate::cli::{hsms, load};
use crate::config::Configuration;
use crate::hsm::HsmSettings;
use crate::inventory::{HeldKey, Inventory};
use crate::keystore::KeyStoreSettings;

/// Keys in the HSMs.
#[derive(Subcommand)]
pub(super) enum Key {
    Create(create::Create),
    List(list::List),
    Rotate(rotate::Rotate),
}

impl Key {
    pub(super) fn run(self) -> ExitStatus {
        match self {
            Self::Create(command) => command.run(),
            Self::List(command) => command.run(),
            Self::Rotate(command) => command.run(),
        }
    }
}

fn load(file: &Path) -> Result<Configuration, Refusal> {
    Ok(load::configuration(file)?.configuration)
}

/// Opens the HSMs of these names.
fn open(
    file: &Path,
    configuration: &Configuration,
    names: &[String],
    logins: &LoginOptions,
) -> Inventory {
    let is_named = |hsm: &&HsmSettings| names.iter().any(|name| **name == *hsm.name);
    hsms::open(file, configuration.hsms.iter().filter(is_named), logins)
}

fn store<'a>(
    configuration: &'a Configuration,
    name: &str,
) -> Result<&'a KeyStoreSettings, Refusal> {
    let mut stores = configuration.key_stores.iter();
    stores.find(|store| store.name == name).ok_or_else(|| {
        let known = configuration.key_stores.iter().map(|store| &*store.name);
        unknown("key store", name, known)
    })
}

/// Wrong usage: there is no such thing, but there are these.
fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> Refusal {
    let known: Vec<&str> = known.collect();
    let message = format!(
        "no {what} is named {name:?}; known are: {}",
        known.join(", ")
    );
    Refusal::usage(message)
}

/// A key in one line.
fn in_words(key: &HeldKey) -> String {
    let name = name_of(key.label.as_deref().unwrap_or_default(), &key.cka_id);
    let (kind, protection) = (&key.kind, table::protection(key));
    format!("{name}, {kind}, {protection}, {}", key.usage.join(" + "))
}

/// What a key is called in an HSM.
fn name_of(label: &str, cka_id: &str) -> String {
    match cka_id {
        "" => format!("label {label:?}, no CKA_ID"),
        id => format!("label {label:?}, CKA_ID {id}"),
    }
}

/// What to do for HSMs that do not have a key.
fn advice(name: &str, from: &str, missing_on: &[String]) -> String {
    format!(
        "These HSMs do not share keys: what {from} makes, {} cannot get from here; and made there anew, it would be another key.\n\
         Clone it from {from} with the maker's tool: the same value, {name}.\n",
        missing_on.join(", ")
    )
}
