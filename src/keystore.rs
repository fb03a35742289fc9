//! External key stores: what the configuration says of each, ready to be looked up.
//!
//! # Invariants
//! - A prefix has one store, a store has its own credentials and keys: nothing is shared between stores but devices.

mod usage;

use std::collections::HashMap;
use std::sync::Arc;

use crate::ekm::{Fleet, KeySelector};
use crate::sigv4::Credentials;
use crate::xks::{ExternalKeyId, KeyVersion, PathPrefix};

pub use usage::{Encryptions, KeyMetrics};

/// All key stores of a proxy, by path prefix.
#[derive(Default)]
pub struct KeyStores(HashMap<PathPrefix, Arc<KeyStore>>);

/// One external key store.
pub struct KeyStore {
    /// Its name in the configuration: for logs and metrics.
    pub name: Arc<str>,
    /// Where it is reached.
    pub prefix: PathPrefix,
    /// The AWS region that its KMS is in.
    pub region: String,
    /// Whether its owner lets it be used at all.
    pub state: State,
    /// Who may sign requests to it.
    pub credentials: Credentials,
    /// Its keys.
    pub keys: HashMap<ExternalKeyId, Arc<Key>>,
    /// The devices that hold its keys.
    pub fleet: Fleet,
}

/// What the configuration says of a key store; its devices are named, not there yet.
#[derive(Debug)]
pub struct KeyStoreSettings {
    /// See [`KeyStore`]; so for all but the last.
    pub name: String,
    /// The path prefix.
    pub prefix: PathPrefix,
    /// The AWS region.
    pub region: String,
    /// Enabled or disabled.
    pub state: State,
    /// Who may sign.
    pub credentials: Credentials,
    /// The keys.
    pub keys: Vec<Key>,
    /// The names of the devices, in order of preference.
    pub hsms: Vec<String>,
}

impl KeyStoreSettings {
    /// The store, on these devices; its keys count what they do.
    pub fn into_store(self, fleet: Fleet, metrics: &KeyMetrics) -> KeyStore {
        let by_id = |mut key: Key| {
            let id = key.id.clone();
            for version in &mut key.versions {
                version.encryptions = metrics.of_version(&self.name, &id, version.number);
            }
            (id, Arc::new(key))
        };
        let keys = self.keys.into_iter().map(by_id).collect();
        KeyStore {
            name: self.name.into(),
            prefix: self.prefix,
            region: self.region,
            state: self.state,
            credentials: self.credentials,
            keys,
            fleet,
        }
    }
}

/// Whether something may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Yes.
    Enabled,
    /// No: its owner has switched it off.
    Disabled,
}

/// One external key.
#[derive(Debug)]
pub struct Key {
    /// Its id in URIs.
    pub id: ExternalKeyId,
    /// Whether its owner lets it be used.
    pub state: State,
    /// The device key that encrypts.
    pub primary: KeyVersion,
    /// Every version.
    pub versions: Vec<Version>,
}

/// One version of an external key.
#[derive(Debug)]
pub struct Version {
    /// Its number, as it stands in ciphertexts.
    pub number: KeyVersion,
    /// The device key.
    pub selector: Arc<KeySelector>,
    /// How often it has encrypted.
    pub encryptions: Encryptions,
}

impl KeyStores {
    /// The stores; the caller has seen to it that no prefix is there twice.
    pub fn new(stores: Vec<KeyStore>) -> Self {
        let by_prefix = |store: KeyStore| (store.prefix.clone(), Arc::new(store));
        Self(stores.into_iter().map(by_prefix).collect())
    }

    /// The store at this prefix.
    pub fn at(&self, prefix: &str) -> Option<&Arc<KeyStore>> {
        self.0.get(prefix)
    }

    /// Every store, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<KeyStore>> {
        self.0.values()
    }
}

impl Key {
    /// A key of one version.
    pub fn single(id: ExternalKeyId, state: State, selector: KeySelector) -> Self {
        let versions = vec![Version {
            number: KeyVersion::FIRST,
            selector: Arc::new(selector),
            encryptions: Encryptions::default(),
        }];
        Self {
            id,
            state,
            primary: KeyVersion::FIRST,
            versions,
        }
    }

    /// A version; none when the key has no such version.
    pub fn version(&self, number: KeyVersion) -> Option<&Version> {
        self.versions
            .iter()
            .find(|version| version.number == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ekm::FleetMetrics;
    use crate::metrics::Metrics;
    use std::time::Duration;

    fn store(prefix: &str) -> KeyStore {
        KeyStore {
            name: prefix.into(),
            prefix: PathPrefix::parse(prefix).unwrap(),
            region: "eu-west-1".into(),
            state: State::Enabled,
            credentials: Credentials::default(),
            keys: HashMap::new(),
            fleet: Fleet::new(
                vec![],
                Duration::ZERO,
                FleetMetrics::declare(&Metrics::default()).unwrap(),
            ),
        }
    }

    #[test]
    fn stores_are_found_by_their_whole_prefix() {
        let stores = KeyStores::new(vec![store(""), store("/a"), store("/a/b")]);
        for prefix in ["", "/a", "/a/b"] {
            assert_eq!(&*stores.at(prefix).unwrap().name, prefix);
        }
        assert!(stores.at("/a/").is_none() && stores.at("/b").is_none());
        assert_eq!(stores.iter().count(), 3);
    }

    #[test]
    fn versions_are_found_by_number() {
        let id = ExternalKeyId::parse("k").unwrap();
        let key = Key::single(id, State::Enabled, KeySelector::Label("l".into()));
        assert!(key.version(KeyVersion::FIRST).is_some());
        assert!(key.version(KeyVersion(2)).is_none());
    }
}
