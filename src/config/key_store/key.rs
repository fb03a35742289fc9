//! `[[key_store.key]]`.

use std::sync::Arc;

use super::sharing::Sharing;
use crate::ekm::KeySelector;
use crate::hsm::HsmSettings;
use crate::hsm_protocol::MAX_SELECTOR;
use crate::keystore::{KeySettings, State, VersionSettings};
use crate::toml_file::unique::Unique;
use crate::toml_file::{Section, values};
use crate::xks::{ExternalKeyId, KeyVersion};

/// The values of `state`, of keys and of key stores.
pub(super) const STATES: [(&str, State); 2] =
    [("enabled", State::Enabled), ("disabled", State::Disabled)];

/// Reads the keys of a store; `None` if one has an error.
pub(super) fn all<'a>(
    parent: &Section<'a>,
    hsms: Option<&[HsmSettings]>,
    chosen: Option<&[String]>,
    sharing: &mut Sharing<'a>,
) -> Option<Vec<KeySettings>> {
    let tokens = tokens(hsms.unwrap_or_default(), chosen.unwrap_or_default());
    let mut ids = Unique::default();
    let mut keys = Vec::new();
    let sections = parent.sections("key");
    let expected = sections.len();
    for section in sections {
        let tags = tags(&section);
        let key = key(&section, hsms).map(|key| key.tagged(tags));
        let may_be_shared = section.boolean("danger_shared").unwrap_or(false);
        section.finish();
        let Some(key) = key.map(|key| key.shared(may_be_shared)) else {
            continue;
        };
        ids.check(&section, "id", key.id().as_str());
        sharing.add(section, &key, &tokens);
        keys.push(key);
    }
    sharing.next_store();
    (keys.len() == expected).then_some(keys)
}

/// Returns the tokens of the chosen HSMs. Several HSMs may have the same token.
fn tokens(hsms: &[HsmSettings], chosen: &[String]) -> Vec<String> {
    let is_chosen = |hsm: &&HsmSettings| chosen.iter().any(|name| **name == *hsm.name);
    let token = |hsm: &HsmSettings| format!("{:?} {:?}", hsm.module, hsm.token);
    hsms.iter().filter(is_chosen).map(token).collect()
}

fn key(section: &Section<'_>, hsms: Option<&[HsmSettings]>) -> Option<KeySettings> {
    let id = section.required_string("id", "\"orders\"");
    let state = section.choice("state", &STATES).unwrap_or(State::Enabled);
    let named = selector(section, hsms);
    let versions = section.sections("versions");
    let primary = section.integer("primary", 1..=u64::from(u32::MAX));
    if id.is_some_and(|id| ExternalKeyId::parse(id).is_none()) {
        section.error("id", "an id has 1 to 128 letters, digits, '.', '_' and '-'");
    }
    let id = ExternalKeyId::parse(id?)?;
    if versions.is_empty() {
        if primary.is_some() {
            section.error("primary", "needs versions: it is the number of one of them");
        }
        let default = || KeySelector::Label(id.as_str().to_owned());
        let selector = named?.unwrap_or_else(default);
        check_health_key(section, &selector, hsms)?;
        return Some(KeySettings::single(id, state, selector));
    }
    if named?.is_some() {
        section.error(
            "versions",
            "a key with versions must have no label and no cka_id; each version has its own",
        );
        return None;
    }
    let versions = all_versions(&versions, hsms)?;
    let primary = primary_of(section, primary, &versions)?;
    KeySettings::versioned(id, state, primary, versions)
}

/// Reads the tags, which policies can refer to.
fn tags(section: &Section<'_>) -> Vec<(String, String)> {
    let Some(tags) = section.section("tags") else {
        return Vec::new();
    };
    let tag = |name: &str| Some((name.to_owned(), tags.string(name)?.to_owned()));
    let names = tags.names();
    for name in &names {
        if let Some(problem) = values::blank(name) {
            section.error("tags", format!("has a tag whose name {problem}"));
        }
    }
    let all = names.iter().filter_map(|name| tag(name)).collect();
    tags.finish();
    all
}

/// Returns the number of the version that encrypts: the named one, or the only one.
fn primary_of(
    section: &Section<'_>,
    named: Option<u64>,
    versions: &[VersionSettings],
) -> Option<KeyVersion> {
    let Some(named) = named else {
        return match versions {
            [only] => Some(only.number),
            _ => section.missing("primary", "2, the version that encrypts"),
        };
    };
    let number = KeyVersion(u32::try_from(named).ok()?);
    if versions.iter().any(|version| version.number == number) {
        return Some(number);
    }
    let known: Vec<String> = versions.iter().map(|v| v.number.0.to_string()).collect();
    section.error(
        "primary",
        format!("is {named}, but the versions are {}", known.join(", ")),
    );
    None
}

fn all_versions(
    sections: &[Section<'_>],
    hsms: Option<&[HsmSettings]>,
) -> Option<Vec<VersionSettings>> {
    let (mut numbers, mut selectors) = (Unique::default(), Unique::default());
    let versions: Vec<_> = sections
        .iter()
        .map(|section| {
            let version = version(section, hsms)?;
            numbers.check(section, "version", &version.number.0.to_string());
            selectors.check(section, "label", &version.selector.to_string());
            Some(version)
        })
        .collect();
    versions.into_iter().collect()
}

fn version(section: &Section<'_>, hsms: Option<&[HsmSettings]>) -> Option<VersionSettings> {
    let number = section.integer("version", 1..=u64::from(u32::MAX));
    let number = number.or_else(|| section.missing("version", "1"));
    let selector = selector(section, hsms);
    section.finish();
    let selector = selector?.or_else(|| section.missing("label", "\"ledger-2026\""))?;
    Some(VersionSettings {
        number: KeyVersion(u32::try_from(number?).ok()?),
        selector: Arc::new(selector),
    })
}

/// Reads `label` or `cka_id`; `None` if there is an error, `Some(None)` without both keys.
fn selector(section: &Section<'_>, hsms: Option<&[HsmSettings]>) -> Option<Option<KeySelector>> {
    let named = match (
        section.non_blank_string("label"),
        section.parsed("cka_id", values::hex),
    ) {
        (Some(_), Some(_)) => {
            section.error("cka_id", "a key has either a label or a cka_id, not both");
            return None;
        }
        (Some(label), None) => KeySelector::Label(label.to_owned()),
        (None, Some(id)) => KeySelector::Id(id),
        (None, None) => return Some(None),
    };
    check_length(section, &named)?;
    check_health_key(section, &named, hsms)?;
    Some(Some(named))
}

fn check_length(section: &Section<'_>, selector: &KeySelector) -> Option<()> {
    let (key, length) = match selector {
        KeySelector::Label(label) => ("label", label.len()),
        KeySelector::Id(id) => ("cka_id", id.len()),
    };
    if length > MAX_SELECTOR {
        section.error(
            key,
            format!("has {length} bytes; at most {MAX_SELECTOR} are possible"),
        );
        return None;
    }
    Some(())
}

fn check_health_key(
    section: &Section<'_>,
    selector: &KeySelector,
    hsms: Option<&[HsmSettings]>,
) -> Option<()> {
    let is_health_key = |hsm: &HsmSettings| matches!(selector, KeySelector::Label(label) if *label == hsm.health_key);
    if hsms.unwrap_or_default().iter().any(is_health_key) {
        section.error(
            "label",
            "is the health_key of an HSM, which KMS must never use",
        );
        return None;
    }
    Some(())
}
