//! `[[external_key_stores]]` of the settings.

use std::collections::{BTreeMap, HashSet};

use super::notes::Notes;
use crate::secret::Secret;
use crate::toml_file::Section;

/// The values for a `[[key_store]]`.
pub(super) struct Store {
    /// Derived from the prefix: the stores of the sample have no names.
    pub(super) name: String,
    pub(super) prefix: String,
    /// May be empty: then `check-config` rejects the configuration.
    pub(super) access_key_id: String,
    /// `None` if the id or the secret is empty in the settings.
    pub(super) secret: Option<Secret>,
    pub(super) keys: Vec<Key>,
}

impl Store {
    /// The file of the secret, in the directory of the configuration.
    pub(super) fn secret_file(&self) -> String {
        format!("{}.secret", self.name)
    }
}

/// The values for a `[[key_store.key]]`.
pub(super) struct Key {
    /// The id in KMS, which is also the label in the HSM.
    pub(super) id: String,
    /// True if a different store has the same key.
    pub(super) is_shared: bool,
}

/// The maximum length of the part of a name that comes from a prefix. A name has at most 64 characters, and a number may follow.
const NAME_LENGTH: usize = 56;

pub(super) fn read(root: &Section<'_>, notes: &mut Notes) -> Option<Vec<Store>> {
    let sections = root.sections("external_key_stores");
    if sections.is_empty() {
        return root.missing("external_key_stores", "[{ uri_path_prefix = \"…\", … }]");
    }
    let mut names = HashSet::new();
    let stores: Vec<_> = sections
        .iter()
        .map(|section| store(section, &mut names, notes))
        .collect();
    let mut stores: Vec<Store> = stores.into_iter().collect::<Option<_>>()?;
    mark_shared(root, &mut stores, notes);
    let message = "before you switch to this proxy, decrypt a ciphertext of the sample; when no old ciphertext is left, remove key_store.legacy_ciphertexts";
    notes.add_task(root, "external_key_stores", message);
    Some(stores)
}

fn store(section: &Section<'_>, names: &mut HashSet<String>, notes: &mut Notes) -> Option<Store> {
    let prefix = section.required_string_or_empty("uri_path_prefix", "\"/payments\", or \"\"");
    let id = section.required_string_or_empty("sigv4_access_key_id", "\"…\"");
    let secret = section.required_string_or_empty("sigv4_secret_access_key", "\"…\"");
    let keys = section.repeatable_strings("xks_key_id_set");
    let keys = keys.or_else(|| section.missing("xks_key_id_set", "[\"orders\"]"));
    let (prefix, id, secret, keys) = (prefix?, id?, secret?, keys?);
    let is_complete = !id.is_empty() && !secret.is_empty();
    let mut ids = HashSet::new();
    let keys = keys.into_iter().filter(|id| ids.insert(*id));
    let key = |id: &str| Key {
        id: id.to_owned(),
        is_shared: false,
    };
    let store = Store {
        name: name(prefix, names),
        prefix: prefix.to_owned(),
        access_key_id: id.to_owned(),
        secret: is_complete.then(|| Secret::new(secret.to_owned())),
        keys: keys.map(key).collect(),
    };
    note(section, &store, notes);
    Some(store)
}

fn note(section: &Section<'_>, store: &Store, notes: &mut Notes) {
    let to = format!("path_prefix of the key_store named {:?}", store.name);
    notes.carried(section, "uri_path_prefix", to);
    notes.carried(section, "xks_key_id_set", "key_store.key: id and label");
    match &store.secret {
        Some(secret) => credential(section, store, secret, notes),
        None => no_credential(section, store, notes),
    }
    notes.drop_rest(section, &[]);
}

fn credential(section: &Section<'_>, store: &Store, secret: &Secret, notes: &mut Notes) {
    let to = "key_store.credential.access_key_id";
    notes.carried(section, "sigv4_access_key_id", to);
    let to = format!("the file {}", store.secret_file());
    notes.carried(section, "sigv4_secret_access_key", to);
    // The published settings of the sample contain this word. A random secret practically never does.
    if secret.expose().to_ascii_lowercase().contains("replace") {
        let message = "looks like the placeholder of the sample's published settings: create a new credential with `xks-proxy credential new`";
        notes.add_task(section, "sigv4_secret_access_key", message);
    }
}

fn no_credential(section: &Section<'_>, store: &Store, notes: &mut Notes) {
    let (prefix, file) = (&store.prefix, store.secret_file());
    let message = format!(
        "the credential has no id or no secret: create one with `xks-proxy credential new --path-prefix {prefix:?} --secret-file {file}`, and replace the empty table with its table"
    );
    notes.add_task(section, "sigv4_access_key_id", message);
}

/// Returns a name for logs, metrics and a file: the prefix with dashes instead of slashes, and a number if another store has that name.
fn name(prefix: &str, taken: &mut HashSet<String>) -> String {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let as_dash = |c: char| if legal(c) { c } else { '-' };
    let stem = prefix.trim_matches('/').chars().map(as_dash);
    let stem: String = stem.take(NAME_LENGTH).collect();
    let stem = if stem.is_empty() { "root" } else { &stem };
    let numbered = (2..).map(|number| format!("{stem}-{number}"));
    let mut candidates = std::iter::once(stem.to_owned()).chain(numbered);
    let free = candidates.find(|candidate| !taken.contains(candidate));
    let name = free.unwrap_or_default();
    taken.insert(name.clone());
    name
}

/// Marks keys that several stores have. The sample permits that silently; this proxy requires `danger_shared` on each.
fn mark_shared(root: &Section<'_>, stores: &mut [Store], notes: &mut Notes) {
    let mut holders: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (store, key) in stores
        .iter()
        .flat_map(|s| s.keys.iter().map(move |key| (s, key)))
    {
        holders
            .entry(key.id.clone())
            .or_default()
            .push(store.name.clone());
    }
    holders.retain(|_, names| names.len() > 1);
    for (id, names) in &holders {
        let message = format!(
            "the key {id:?} is in the stores {}: each of them can decrypt what the others encrypt. danger_shared = true permits that; separate keys are better",
            names.join(", ")
        );
        notes.add_task(root, "external_key_stores", message);
    }
    for key in stores.iter_mut().flat_map(|store| &mut store.keys) {
        key.is_shared = holders.contains_key(&key.id);
    }
}
