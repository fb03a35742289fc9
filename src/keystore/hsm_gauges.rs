//! How many HSMs each store has, and how many of them serve: with one left, the next fault is an outage.

use prometheus::{IntGauge, IntGaugeVec};

use crate::ekm::Fleet;
use crate::metrics::{Metrics, MetricsError};

/// The gauges of all stores.
#[derive(Clone)]
pub(super) struct HsmGauges {
    configured: IntGaugeVec,
    usable: IntGaugeVec,
}

impl HsmGauges {
    pub(super) fn declare(metrics: &Metrics) -> Result<Self, MetricsError> {
        Ok(Self {
            configured: metrics.gauge(
                "xks_key_store_hsms",
                "HSMs that the key store has.",
                &["store"],
            )?,
            usable: metrics.gauge(
                "xks_key_store_hsms_usable",
                "HSMs of the key store that serve now.",
                &["store"],
            )?,
        })
    }

    pub(super) fn of_store(&self, store: &str) -> StoreHsmGauges {
        StoreHsmGauges(Some([
            self.configured.with_label_values(&[store]),
            self.usable.with_label_values(&[store]),
        ]))
    }

    pub(super) fn forget(&self, store: &str) {
        for gauge in [&self.configured, &self.usable] {
            // It may be gone already: what counts is that it is.
            drop(gauge.remove_label_values(&[store]));
        }
    }
}

/// The gauges of one store: how many there are, how many are usable.
#[derive(Debug, Default)]
pub struct StoreHsmGauges(Option<[IntGauge; 2]>);

impl StoreHsmGauges {
    /// Sets them to what is true now; to be called before metrics are read.
    pub fn publish(&self, fleet: &Fleet) {
        let Some([configured, usable]) = &self.0 else {
            return;
        };
        let (all, serving) = fleet.count_usable();
        let whole = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        configured.set(whole(all));
        usable.set(whole(serving));
    }
}
