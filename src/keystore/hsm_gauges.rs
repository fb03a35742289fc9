//! The gauges of HSMs of each key store. With one usable HSM left, the next failure is an outage.

use prometheus::{IntGauge, IntGaugeVec};

use crate::ekm::KeySelector;
use crate::fleet::Fleet;
use crate::metrics::{Metrics, MetricsError};

/// The gauges of all stores.
#[derive(Clone)]
pub(super) struct HsmGauges {
    configured: IntGaugeVec,
    usable: IntGaugeVec,
    missing: IntGaugeVec,
    unusable: IntGaugeVec,
}

impl HsmGauges {
    pub(super) fn declare(metrics: &Metrics) -> Result<Self, MetricsError> {
        Ok(Self {
            configured: metrics.gauge(
                "xks_key_store_hsms",
                "HSMs of the key store.",
                &["store"],
            )?,
            usable: metrics.gauge(
                "xks_key_store_hsms_usable",
                "Usable HSMs of the key store.",
                &["store"],
            )?,
            missing: metrics.gauge(
                "xks_key_store_keys_missing",
                "Key versions of the key store that the HSM does not have, or has more than once.",
                &["store", "hsm"],
            )?,
            unusable: metrics.gauge(
                "xks_key_store_keys_unusable",
                "Key versions of the key store that the HSM has, but that do not support the operations of KMS.",
                &["store", "hsm"],
            )?,
        })
    }

    pub(super) fn of_store(&self, store: &str) -> StoreHsmGauges {
        StoreHsmGauges(Some(Gauges {
            store: store.to_owned(),
            configured: self.configured.with_label_values(&[store]),
            usable: self.usable.with_label_values(&[store]),
            missing: self.missing.clone(),
            unusable: self.unusable.clone(),
        }))
    }

    /// Removes the series of all HSMs, because a reload may have removed an HSM from a store. [`StoreHsmGauges::publish`] sets the others again.
    pub(super) fn forget_keys(&self) {
        self.missing.reset();
        self.unusable.reset();
    }

    pub(super) fn forget(&self, store: &str) {
        for gauge in [&self.configured, &self.usable] {
            // Fails if the series does not exist, which is the desired state.
            drop(gauge.remove_label_values(&[store]));
        }
    }
}

/// The gauges of one store: the number of HSMs, of usable HSMs, and of missing or unusable keys on each.
#[derive(Debug, Default)]
pub struct StoreHsmGauges(Option<Gauges>);

#[derive(Debug)]
struct Gauges {
    store: String,
    configured: IntGauge,
    usable: IntGauge,
    missing: IntGaugeVec,
    unusable: IntGaugeVec,
}

impl StoreHsmGauges {
    /// Updates the gauges; call this before metrics are read. `keys` has each key with whether it must encrypt.
    pub fn publish<'a>(
        &self,
        fleet: &Fleet,
        keys: impl Iterator<Item = (&'a KeySelector, bool)> + Clone,
    ) {
        let Some(gauges) = &self.0 else {
            return;
        };
        let (all, serving) = fleet.count_usable();
        let whole = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        gauges.configured.set(whole(all));
        gauges.usable.set(whole(serving));
        for (hsm, counts) in fleet.count_keys(keys) {
            let labels: [&str; 2] = [&gauges.store, hsm];
            let gauge = |family: &IntGaugeVec| family.with_label_values(&labels);
            gauge(&gauges.missing).set(whole(counts.missing));
            gauge(&gauges.unusable).set(whole(counts.unusable));
        }
    }
}
