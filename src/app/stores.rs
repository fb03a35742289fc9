//! Creates key stores from the configuration, with the HSMs that run.

use std::collections::HashMap;
use std::sync::Arc;

use super::devices::Devices;
use crate::config::Configuration;
use crate::ekm::{ExpectedKey, KeyManager, KeySelector};
use crate::fleet::{Fleet, FleetMetrics};
use crate::keystore::{KeyStore, KeyStoreSettings, KeyStores, StoreMetrics};
use crate::metrics::{Metrics, MetricsError};

/// Creates key stores; holds the metrics that all of them share across reloads.
pub(super) struct StoreMaker {
    fleet: FleetMetrics,
    stores: StoreMetrics,
}

impl StoreMaker {
    /// Declares the metrics.
    pub(super) fn declare(metrics: &Metrics) -> Result<Self, MetricsError> {
        Ok(Self {
            fleet: FleetMetrics::declare(metrics)?,
            stores: StoreMetrics::declare(metrics)?,
        })
    }

    /// Creates the stores of this configuration. State that must survive a reload is taken from the `former` store of the same name.
    pub(super) fn make(
        &self,
        configuration: &Configuration,
        devices: &Devices,
        former: Option<&KeyStores>,
    ) -> KeyStores {
        let find_device = |name: &String| {
            let hsm = devices.of_name(name)?;
            Some(hsm as Arc<dyn KeyManager>)
        };
        let store = |settings: &KeyStoreSettings| {
            let devices = settings.hsms.iter().filter_map(find_device).collect();
            let fleet = Fleet::new(devices, configuration.hedge_delay, self.fleet.clone());
            let former = former.and_then(|former| former.of_name(&settings.name));
            settings.clone().into_store(fleet, &self.stores, former)
        };
        let stores: Vec<KeyStore> = configuration.key_stores.iter().map(store).collect();
        self.stores.keep_only(&configuration.key_stores);
        for hsm in devices.all() {
            hsm.expect_keys(expected(&configuration.key_stores, hsm.name()));
        }
        KeyStores::new(stores)
    }
}

/// Returns the keys that these stores expect on an HSM, without duplicates.
fn expected(stores: &[KeyStoreSettings], hsm: &str) -> Vec<ExpectedKey> {
    let mut expected: Vec<ExpectedKey> = Vec::new();
    let mut places: HashMap<Arc<KeySelector>, usize> = HashMap::new();
    let on_it = |store: &&KeyStoreSettings| store.hsms.iter().any(|name| name == hsm);
    for key in stores.iter().filter(on_it).flat_map(|store| &store.keys) {
        for version in key.versions() {
            let encrypts = version.number == key.primary().number;
            let new = expected.len();
            let place = *places.entry(Arc::clone(&version.selector)).or_insert(new);
            match expected.get_mut(place) {
                Some(known) => known.encrypts |= encrypts,
                None => expected.push(ExpectedKey {
                    selector: Arc::clone(&version.selector),
                    encrypts,
                }),
            }
        }
    }
    expected
}
