//! `[[key_store]]` with its credentials and keys.

use super::document::Section;
use super::hsm::name;
use super::{Unique, files, values};
use crate::ekm::KeySelector;
use crate::hsm::HsmSettings;
use crate::keystore::{Key, KeyStoreSettings, State};
use crate::sigv4::{Credential, CredentialError, Credentials};
use crate::xks::{ExternalKeyId, PathPrefix};

const STATES: [(&str, State); 2] = [("enabled", State::Enabled), ("disabled", State::Disabled)];

/// What must be of its own among all stores.
struct Uniques {
    names: Unique,
    prefixes: Unique,
    access_key_ids: Unique,
}

/// Every store; None when one has a fault.
pub(super) fn all(
    root: &Section<'_>,
    hsms: &Option<Vec<HsmSettings>>,
) -> Option<Vec<KeyStoreSettings>> {
    let sections = root.sections("key_store");
    if sections.is_empty() {
        return root.missing("key_store", "[{ name = \"payments\", … }]");
    }
    let mut uniques = Uniques {
        names: Unique::new(),
        prefixes: Unique::new(),
        access_key_ids: Unique::new(),
    };
    let settings: Vec<_> = sections
        .iter()
        .map(|section| one(section, hsms.as_deref(), &mut uniques))
        .collect();
    settings.into_iter().collect()
}

fn one(
    section: &Section<'_>,
    hsms: Option<&[HsmSettings]>,
    uniques: &mut Uniques,
) -> Option<KeyStoreSettings> {
    let name = name(section);
    if let Some(name) = name {
        uniques.names.note(section, "name", name);
    }
    let prefix = prefix(section, uniques);
    let region = region(section);
    let state = section.choice("state", &STATES).unwrap_or(State::Enabled);
    let chosen = devices(section, hsms);
    let credentials = credentials(section, uniques);
    let keys = keys(section, hsms);
    section.not_yet("quota");
    section.not_yet("legacy_ciphertexts");
    section.finish();
    Some(KeyStoreSettings {
        name: name?.to_owned(),
        prefix: prefix?,
        region: region?,
        state,
        credentials: credentials?,
        keys: keys?,
        hsms: chosen?,
    })
}

fn prefix(section: &Section<'_>, uniques: &mut Uniques) -> Option<PathPrefix> {
    let parse = |text: &str| PathPrefix::parse(text).map_err(str::to_owned);
    let prefix = section.parsed("path_prefix", parse);
    let prefix = prefix.or_else(|| section.missing("path_prefix", "\"/payments\", or \"\""))?;
    uniques
        .prefixes
        .note(section, "path_prefix", prefix.as_str());
    Some(prefix)
}

fn region(section: &Section<'_>) -> Option<String> {
    let region = section.required_string("region", "\"eu-west-1\"")?;
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    match region.bytes().all(legal) {
        true => Some(region.to_owned()),
        false => {
            section.fault("region", "is no AWS region; write it like \"eu-west-1\"");
            None
        }
    }
}

/// The devices of the store; without `hsms`, all of them.
fn devices(section: &Section<'_>, hsms: Option<&[HsmSettings]>) -> Option<Vec<String>> {
    let named = section.strings("hsms");
    // With a fault in a device there is nothing to check the names against.
    let known: Vec<&str> = hsms?.iter().map(|hsm| &*hsm.name).collect();
    let Some(named) = named else {
        return Some(known.into_iter().map(str::to_owned).collect());
    };
    if named.is_empty() {
        section.fault("hsms", format!("is empty; known are: {}", known.join(", ")));
        return None;
    }
    let check = |name: &str| match known.contains(&name) {
        true => Some(name.to_owned()),
        false => {
            section.fault(
                "hsms",
                format!(
                    "no [[hsm]] is named {name:?}; known are: {}",
                    known.join(", ")
                ),
            );
            None
        }
    };
    let checked: Vec<_> = named.into_iter().map(check).collect();
    checked.into_iter().collect()
}

fn credentials(parent: &Section<'_>, uniques: &mut Uniques) -> Option<Credentials> {
    let sections = parent.sections("credential");
    if sections.is_empty() {
        return parent.missing(
            "credential",
            "[{ access_key_id = \"…\", secret = { file = \"…\" } }]",
        );
    }
    let credentials: Vec<_> = sections
        .iter()
        .map(|section| {
            let id = section.required_string("access_key_id", "\"XKSPAYMENTSKEYAAAAAA\"");
            let secret = files::secret(section, "secret");
            section.finish();
            let (id, secret) = (id?, secret?);
            uniques.access_key_ids.note(section, "access_key_id", id);
            Credential::new(id, secret)
                .map_err(|error| credential_fault(section, error))
                .ok()
        })
        .collect();
    let credentials: Option<Vec<_>> = credentials.into_iter().collect();
    credentials.map(Credentials::new)
}

fn credential_fault(section: &Section<'_>, error: CredentialError) {
    let key = match error {
        CredentialError::AccessKeyId => "access_key_id",
        CredentialError::Secret => "secret",
    };
    section.fault(key, error.to_string());
}

fn keys(parent: &Section<'_>, hsms: Option<&[HsmSettings]>) -> Option<Vec<Key>> {
    let mut ids = Unique::new();
    let keys: Vec<_> = parent
        .sections("key")
        .iter()
        .map(|section| {
            let key = key(section, hsms);
            if let Some(key) = &key {
                ids.note(section, "id", key.id.as_str());
            }
            key
        })
        .collect();
    keys.into_iter().collect()
}

fn key(section: &Section<'_>, hsms: Option<&[HsmSettings]>) -> Option<Key> {
    let id = section.required_string("id", "\"orders\"");
    let state = section.choice("state", &STATES).unwrap_or(State::Enabled);
    let selector = match (
        section.string("label"),
        section.parsed("cka_id", values::hex),
    ) {
        (Some(_), Some(_)) => {
            section.fault("cka_id", "a key has either a label or a cka_id, not both");
            None
        }
        (Some(label), None) => Some(KeySelector::Label(label.to_owned())),
        (None, Some(id)) => Some(KeySelector::Id(id)),
        (None, None) => id.map(|id| KeySelector::Label(id.to_owned())),
    };
    section.not_yet("versions");
    section.not_yet("primary");
    section.finish();
    let (id, selector) = (id?, selector?);
    if is_health_key(&selector, hsms) {
        section.fault(
            "label",
            "is the health_key of an HSM, which KMS must never use",
        );
        return None;
    }
    let rule = "an id has 1 to 128 letters, digits, '.', '_' and '-'";
    let Some(id) = ExternalKeyId::parse(id) else {
        section.fault("id", rule);
        return None;
    };
    Some(Key::single(id, state, selector))
}

fn is_health_key(selector: &KeySelector, hsms: Option<&[HsmSettings]>) -> bool {
    let KeySelector::Label(label) = selector else {
        return false;
    };
    hsms.unwrap_or_default()
        .iter()
        .any(|hsm| hsm.health_key == *label)
}
