//! The external key stores of the configuration, found by path prefix.
//!
//! [`KeyStores`] is immutable. A reload creates a new one, which takes over the used quota, the in-flight counts and the encryption counts.
//!
//! # Invariants
//! - Each prefix has one store. Each store has its own credentials, keys and quota; stores share only HSMs.

mod credentials;
mod hsm_gauges;
mod quota;
mod settings;
mod usage;
mod vpc_endpoints;

use std::collections::HashMap;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};

use prometheus::{IntCounter, IntCounterVec, IntGaugeVec};

use crate::ekm::{EncryptionCount, KeySelector, Tenant};
use crate::fleet::Fleet;
use crate::metrics::{Metrics, MetricsError};
use crate::sigv4::Credentials;
use crate::sync::poisoned;
use crate::xks::{ExternalKeyId, KeyVersion, PathPrefix};
use hsm_gauges::HsmGauges;

pub use credentials::{CredentialMetrics, CredentialUse};
pub use hsm_gauges::StoreHsmGauges;
pub use quota::Quota;
pub use settings::{KeySettings, KeyStoreSettings, QuotaSettings, State, VersionSettings};
pub use usage::{Encryptions, KeyMetrics};
pub use vpc_endpoints::{VpcEndpointMode, VpcEndpoints};

/// All key stores of a proxy, by path prefix.
#[derive(Default)]
pub struct KeyStores(HashMap<PathPrefix, Arc<KeyStore>>);

/// One external key store.
pub struct KeyStore {
    /// Its name in the configuration, for logs and metrics.
    pub name: Arc<str>,
    /// Its URI path prefix.
    pub prefix: PathPrefix,
    /// The AWS Region of its KMS.
    pub region: String,
    /// Enabled or disabled by the operator.
    pub state: State,
    /// The credentials that may sign requests.
    pub credentials: Credentials,
    /// The use of each credential.
    pub credential_use: CredentialUse,
    /// Its keys.
    pub keys: HashMap<ExternalKeyId, Arc<Key>>,
    /// The HSMs that hold its keys.
    pub fleet: Fleet,
    /// The metrics of its HSMs.
    pub hsm_gauges: StoreHsmGauges,
    /// Its quota of requests; none if unlimited.
    pub quota: Option<Arc<Quota>>,
    /// Counts decryptions of ciphertexts of AWS's sample proxy; none if these are not decrypted.
    pub legacy: Option<IntCounter>,
    /// Its tenant in the queues of the HSMs.
    pub tenant: Arc<Tenant>,
    /// The number of its requests in flight.
    pub in_flight: Arc<AtomicUsize>,
    /// The VPC endpoints through which it may be called.
    pub vpc_endpoints: VpcEndpoints,
}

/// One external key.
#[derive(Debug)]
pub struct Key {
    /// Its id in URIs.
    pub id: ExternalKeyId,
    /// Enabled or disabled by the operator.
    pub state: State,
    /// The labels of its versions on the HSMs, for policies.
    pub labels: Vec<String>,
    /// Its tags, for policies.
    pub tags: Vec<(String, String)>,
    /// The version that encrypts.
    pub primary: Version,
    others: Vec<Version>,
}

/// One version of an external key.
#[derive(Debug)]
pub struct Version {
    /// Its number, which is part of ciphertexts.
    pub number: KeyVersion,
    /// The key on the HSMs.
    pub selector: Arc<KeySelector>,
    /// The number of encryptions that HSMs have made with it.
    pub encryptions: Arc<Encryptions>,
}

impl Version {
    /// Returns the counter of encryptions with this version.
    pub fn encryption_count(&self) -> Arc<dyn EncryptionCount> {
        Arc::clone(&self.encryptions) as _
    }
}

/// The metrics of all stores.
#[derive(Clone)]
pub struct StoreMetrics {
    /// The metrics of their keys.
    pub keys: KeyMetrics,
    /// The metrics of their credentials.
    pub credentials: CredentialMetrics,
    quota_rejections: IntCounterVec,
    legacy: IntCounterVec,
    enabled: IntGaugeVec,
    keys_disabled: IntGaugeVec,
    hsms: HsmGauges,
    known: Arc<Mutex<Vec<String>>>,
}

impl StoreMetrics {
    /// Declares the metrics.
    ///
    /// # Errors
    /// [`MetricsError`] when a name is taken.
    pub fn declare(metrics: &Metrics) -> Result<Self, MetricsError> {
        Ok(Self {
            keys: KeyMetrics::declare(metrics)?,
            credentials: CredentialMetrics::declare(metrics)?,
            quota_rejections: metrics.counter(
                "xks_quota_refusals_total",
                "Requests rejected because the quota of the key store was exhausted.",
                &["store"],
            )?,
            legacy: metrics.counter(
                "xks_legacy_decryptions_total",
                "Decryptions of ciphertexts in the format of AWS's sample proxy.",
                &["store"],
            )?,
            enabled: metrics.gauge(
                "xks_key_store_enabled",
                "1 if the key store is enabled in the configuration; 0 if it is disabled.",
                &["store"],
            )?,
            keys_disabled: metrics.gauge(
                "xks_key_store_keys_disabled",
                "Keys of the key store that are disabled in the configuration.",
                &["store"],
            )?,
            hsms: HsmGauges::declare(metrics)?,
            known: Arc::default(),
        })
    }

    /// Removes the time series of stores and credentials that are not in `stores`.
    pub fn keep_only(&self, stores: &[KeyStoreSettings]) {
        let credentials = stores.iter().map(|s| (s.name.as_str(), &s.credentials));
        self.credentials.keep_only(credentials);
        let now: Vec<String> = stores.iter().map(|store| store.name.clone()).collect();
        let mut known = self.known.lock().unwrap_or_else(poisoned);
        for store in known.iter().filter(|store| !now.contains(store)) {
            // Fails if the series does not exist, which is the desired state.
            drop(self.enabled.remove_label_values(&[store]));
            drop(self.keys_disabled.remove_label_values(&[store]));
            self.hsms.forget(store);
        }
        self.hsms.forget_keys();
        *known = now;
    }
}

impl KeyStoreSettings {
    /// Creates the store with these HSMs. It takes over the used quota of `former`, if the quota has not changed.
    pub fn into_store(
        self,
        fleet: Fleet,
        metrics: &StoreMetrics,
        former: Option<&KeyStore>,
    ) -> KeyStore {
        let by_id = |key: &KeySettings| {
            let key = Key::new(key, |version| {
                metrics.keys.of_version(&self.name, key.id(), version)
            });
            (key.id.clone(), Arc::new(key))
        };
        let keys = self.keys.iter().map(by_id).collect();
        let label: &[&str] = &[&self.name];
        let legacy = metrics.legacy.with_label_values(label);
        let rejections = metrics.quota_rejections.with_label_values(label);
        let enabled = metrics.enabled.with_label_values(label);
        enabled.set(i64::from(self.state == State::Enabled));
        let disabled = self.keys.iter().filter(|key| key.state() != State::Enabled);
        let disabled = i64::try_from(disabled.count()).unwrap_or(i64::MAX);
        metrics.keys_disabled.with_label_values(label).set(disabled);
        let name: Arc<str> = self.name.as_str().into();
        let quota = |settings| kept_or_new(settings, rejections, former);
        KeyStore {
            credential_use: metrics.credentials.of_store(&self.name, &self.credentials),
            tenant: Arc::new(Tenant {
                name: Arc::clone(&name),
                share: self.share,
            }),
            name,
            prefix: self.prefix,
            region: self.region,
            state: self.state,
            hsm_gauges: metrics.hsms.of_store(&self.name),
            credentials: self.credentials,
            keys,
            fleet,
            quota: self.quota.map(quota),
            legacy: self.decrypts_aws_samples.then_some(legacy),
            vpc_endpoints: self.vpc_endpoints,
            in_flight: former.map_or_else(Arc::default, |store| Arc::clone(&store.in_flight)),
        }
    }
}

/// Returns the quota of `former` if its settings are the same, so that a reload does not refill the burst.
fn kept_or_new(
    settings: QuotaSettings,
    rejections: IntCounter,
    former: Option<&KeyStore>,
) -> Arc<Quota> {
    let former = former.and_then(|store| store.quota.as_ref());
    match former.filter(|quota| quota.settings() == settings) {
        Some(quota) => Arc::clone(quota),
        None => Arc::new(Quota::new(settings, rejections)),
    }
}

impl KeyStores {
    /// Creates the set. The configuration guarantees that prefixes are unique.
    pub fn new(stores: Vec<KeyStore>) -> Self {
        let by_prefix = |store: KeyStore| (store.prefix.clone(), Arc::new(store));
        Self(stores.into_iter().map(by_prefix).collect())
    }

    /// Updates the gauges that are computed when metrics are read. Never blocks.
    pub fn publish_gauges(&self) {
        for store in self.0.values() {
            let keys = store.keys.values().flat_map(|key| key.uses());
            store.hsm_gauges.publish(&store.fleet, keys);
        }
    }

    /// Returns the store at this prefix.
    pub fn at(&self, prefix: &str) -> Option<&Arc<KeyStore>> {
        self.0.get(prefix)
    }

    /// Returns the store of this name.
    pub fn of_name(&self, name: &str) -> Option<&KeyStore> {
        let mut stores = self.0.values();
        stores.find(|store| *store.name == *name).map(AsRef::as_ref)
    }

    /// Returns all stores, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<KeyStore>> {
        self.0.values()
    }
}

impl Key {
    /// Creates the key. `encryptions` returns the counter of a version.
    pub fn new(
        settings: &KeySettings,
        encryptions: impl Fn(KeyVersion) -> Arc<Encryptions>,
    ) -> Self {
        let live = |version: &VersionSettings| Version {
            number: version.number,
            selector: Arc::clone(&version.selector),
            encryptions: encryptions(version.number),
        };
        Self {
            id: settings.id().clone(),
            state: settings.state(),
            labels: settings.labels().map(str::to_owned).collect(),
            tags: settings.tags().to_vec(),
            primary: live(settings.primary()),
            others: settings.others().iter().map(live).collect(),
        }
    }

    /// Returns all versions.
    fn versions(&self) -> impl Iterator<Item = &Version> + Clone {
        std::iter::once(&self.primary).chain(&self.others)
    }

    /// Returns the key on the HSMs of every version, with whether the version encrypts.
    fn uses(&self) -> impl Iterator<Item = (&KeySelector, bool)> + Clone {
        let primary = self.primary.number;
        self.versions()
            .map(move |version| (&*version.selector, version.number == primary))
    }

    /// Returns the version with this number, if the key has it.
    pub fn version(&self, number: KeyVersion) -> Option<&Version> {
        self.versions().find(|version| version.number == number)
    }
}

#[cfg(test)]
pub(crate) mod tests;
