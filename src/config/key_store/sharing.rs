//! Detects keys in an HSM that several key stores use.

use std::collections::HashMap;

use crate::ekm::KeySelector;
use crate::keystore::KeySettings;
use crate::toml_file::Section;

/// The keys in the HSMs, with the key stores that use them. Each of two stores with the same key can decrypt what the other encrypts,
/// so both must permit it with `danger_shared`.
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
    /// Adds a key of the current store, which is in these tokens.
    pub(super) fn add(&mut self, section: Section<'a>, key: &KeySettings, tokens: &[String]) {
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

    /// Ends the current store.
    pub(super) fn next_store(&mut self) {
        self.store += 1;
    }

    /// Reports each use of a shared key without `danger_shared` as an error.
    pub(super) fn check(&self) {
        let mut shared: Vec<usize> = Vec::new();
        for indices in self.uses.values() {
            let mut stores = indices.iter().filter_map(|index| self.sections.get(*index));
            let first = stores.next().map(|first| first.store);
            if stores.any(|other| Some(other.store) != first) {
                shared.extend(indices);
            }
        }
        shared.sort_unstable();
        shared.dedup();
        let uses = shared.iter().filter_map(|index| self.sections.get(*index));
        for one_use in uses.filter(|one_use| !one_use.is_allowed) {
            one_use.section.error(
                "id",
                "its key in the HSM is also in another key store, so each store can decrypt what the other encrypts; \
                 to permit that, set danger_shared = true for both keys",
            );
        }
    }
}
