//! The names in a configuration.

use std::collections::BTreeSet;

/// The names in a configuration to which rules can refer.
#[derive(Clone, Debug, Default)]
pub struct Names {
    pub(super) stores: BTreeSet<String>,
    pub(super) regions: BTreeSet<String>,
    /// As `store/id`.
    pub(super) keys: BTreeSet<String>,
    pub(super) ids: BTreeSet<String>,
    pub(super) labels: BTreeSet<String>,
    pub(super) tags: BTreeSet<String>,
}

impl Names {
    /// Adds a key store.
    pub fn add_store(&mut self, name: &str, region: &str) {
        self.stores.insert(name.to_owned());
        self.regions.insert(region.to_owned());
    }

    /// Adds a key of a store.
    pub fn add_key<'a>(
        &mut self,
        store: &str,
        id: &str,
        labels: impl Iterator<Item = &'a str>,
        tags: impl Iterator<Item = &'a str>,
    ) {
        self.keys.insert(format!("{store}/{id}"));
        self.ids.insert(id.to_owned());
        self.labels.extend(labels.map(str::to_owned));
        self.tags.extend(tags.map(str::to_owned));
    }
}
