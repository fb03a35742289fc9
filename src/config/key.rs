//! `[[key_store.key]]`, and which keys may be in two stores.

use std::collections::HashMap;
use std::sync::Arc;

use super::key_store::STATES;
use super::section::Section;
use super::{Unique, values};
use crate::ekm::KeySelector;
use crate::hsm::HsmSettings;
use crate::hsm_protocol::MAX_SELECTOR;
use crate::keystore::{KeySettings, State, VersionSettings};
use crate::xks::{ExternalKeyId, KeyVersion};

/// The keys of a store; None when one has a fault.
pub(super) fn all<'a>(
    parent: &Section<'a>,
    hsms: Option<&[HsmSettings]>,
    chosen: Option<&[String]>,
    sharing: &mut Sharing<'a>,
) -> Option<Vec<KeySettings>> {
    let tokens = tokens(hsms.unwrap_or_default(), chosen.unwrap_or_default());
    let mut ids = Unique::new();
    let mut keys = Vec::new();
    let sections = parent.sections("key");
    let wanted = sections.len();
    for section in sections {
        let tags = tags(&section);
        let key = one(&section, hsms).map(|key| key.tagged(tags));
        let may_be_shared = section.boolean("danger_shared").unwrap_or(false);
        section.finish();
        let Some(key) = key.map(|key| key.shared(may_be_shared)) else {
            continue;
        };
        ids.note(&section, "id", key.id().as_str());
        sharing.note(section, &key, &tokens);
        keys.push(key);
    }
    sharing.next_store();
    (keys.len() == wanted).then_some(keys)
}

/// The tokens behind the names of HSMs: two names may be of one token.
fn tokens(hsms: &[HsmSettings], chosen: &[String]) -> Vec<String> {
    let is_chosen = |hsm: &&HsmSettings| chosen.iter().any(|name| **name == *hsm.name);
    let token = |hsm: &HsmSettings| format!("{:?} {:?}", hsm.module, hsm.token);
    hsms.iter().filter(is_chosen).map(token).collect()
}

fn one(section: &Section<'_>, hsms: Option<&[HsmSettings]>) -> Option<KeySettings> {
    let id = section.required_string("id", "\"orders\"");
    let state = section.choice("state", &STATES).unwrap_or(State::Enabled);
    let named = selector(section, hsms);
    let versions = section.sections("versions");
    let primary = section.integer("primary", 1..=u64::from(u32::MAX));
    if id.is_some_and(|id| ExternalKeyId::parse(id).is_none()) {
        section.fault("id", "an id has 1 to 128 letters, digits, '.', '_' and '-'");
    }
    let id = ExternalKeyId::parse(id?)?;
    if versions.is_empty() {
        if primary.is_some() {
            section.fault("primary", "needs versions, of which it is one");
        }
        let of_id = || KeySelector::Label(id.as_str().to_owned());
        let selector = named?.unwrap_or_else(of_id);
        check_health_key(section, &selector, hsms)?;
        return Some(KeySettings::single(id, state, selector));
    }
    if named?.is_some() {
        section.fault(
            "versions",
            "each version has its own label or cka_id; the key has none besides",
        );
        return None;
    }
    let versions = all_versions(&versions, hsms)?;
    let primary = primary_of(section, primary, &versions)?;
    KeySettings::versioned(id, state, primary, versions)
}

/// What policies may ask for.
fn tags(section: &Section<'_>) -> Vec<(String, String)> {
    let Some(tags) = section.section("tags") else {
        return Vec::new();
    };
    let tag = |name: &str| Some((name.to_owned(), tags.string(name)?.to_owned()));
    let names = tags.names();
    for name in &names {
        if let Some(what) = values::blank(name) {
            section.fault("tags", format!("has a tag whose name {what}"));
        }
    }
    let all = names.iter().filter_map(|name| tag(name)).collect();
    tags.finish();
    all
}

/// The version that encrypts: the one that is named, or the only one there is.
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
    section.fault(
        "primary",
        format!("is {named}, but the versions are {}", known.join(", ")),
    );
    None
}

fn all_versions(
    sections: &[Section<'_>],
    hsms: Option<&[HsmSettings]>,
) -> Option<Vec<VersionSettings>> {
    let (mut numbers, mut selectors) = (Unique::new(), Unique::new());
    let versions: Vec<_> = sections
        .iter()
        .map(|section| {
            let version = version(section, hsms)?;
            numbers.note(section, "version", &version.number.0.to_string());
            selectors.note(section, "label", &version.selector.to_string());
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

/// The device key that is named; None when there is a fault, `Some(None)` when none is named.
fn selector(section: &Section<'_>, hsms: Option<&[HsmSettings]>) -> Option<Option<KeySelector>> {
    let named = match (
        section.required_if_there("label"),
        section.parsed("cka_id", values::hex),
    ) {
        (Some(_), Some(_)) => {
            section.fault("cka_id", "a key has either a label or a cka_id, not both");
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
        section.fault(
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
        section.fault(
            "label",
            "is the health_key of an HSM, which KMS must never use",
        );
        return None;
    }
    Some(())
}

/// Which device keys are named by which stores. One key in two stores makes what one of them encrypts the other's to decrypt: each of
/// the two must say that this is meant.
#[derive(Default)]
pub(super) struct Sharing<'a> {
    store: usize,
    uses: HashMap<(String, KeySelector), Vec<usize>>,
    sections: Vec<Use<'a>>,
}

struct Use<'a> {
    section: Section<'a>,
    store: usize,
    is_allowed: bool,
}

impl<'a> Sharing<'a> {
    fn note(&mut self, section: Section<'a>, key: &KeySettings, tokens: &[String]) {
        for version in key.versions() {
            for token in tokens {
                let name = (token.clone(), (*version.selector).clone());
                let uses = self.uses.entry(name).or_default();
                uses.push(self.sections.len());
            }
        }
        self.sections.push(Use {
            section,
            store: self.store,
            is_allowed: key.may_be_shared(),
        });
    }

    fn next_store(&mut self) {
        self.store += 1;
    }

    /// Notes a fault at each use of a key that is in several stores without saying so.
    pub(super) fn check(&self) {
        let uses = |all: &'_ Vec<usize>| -> Vec<&Use<'a>> {
            all.iter().filter_map(|at| self.sections.get(*at)).collect()
        };
        let mut faulty: Vec<usize> = Vec::new();
        for all in self.uses.values() {
            let used = uses(all);
            let first = used.first().map(|first| first.store);
            if used.iter().any(|one| Some(one.store) != first) {
                faulty.extend(all);
            }
        }
        faulty.sort_unstable();
        faulty.dedup();
        let silent = faulty.iter().filter_map(|at| self.sections.get(*at));
        for one in silent.filter(|one| !one.is_allowed) {
            one.section.fault(
                "id",
                "its key in the HSM is in another key store, too: one could decrypt what the other encrypts; \
                 if that is meant, both say danger_shared = true",
            );
        }
    }
}
