//! Counts the encryptions that HSMs make with a key version. Random 96-bit IVs allow 2^32 encryptions per key (NIST SP 800-38D section 8.3).
//!
//! The count covers this process since its start. Operators add up the metric of all proxies over the lifetime of the key. The log warns long
//! before a single process reaches the limit.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use prometheus::{IntCounter, IntCounterVec};

use crate::ekm::EncryptionCount;
use crate::metrics::{Metrics, MetricsError};
use crate::sync::poisoned;
use crate::xks::{ExternalKeyId, KeyVersion};

/// The number of encryptions after which a key version must not encrypt any more.
pub const MAX_ENCRYPTIONS: u64 = 1 << 32;

/// The fractions of [`MAX_ENCRYPTIONS`], in sixteenths, at which the log warns.
const WARNINGS: [u64; 4] = [4, 8, 12, 15];

/// The metric of all keys.
#[derive(Clone)]
pub struct KeyMetrics {
    encryptions: IntCounterVec,
    /// The counts of all versions. They survive reloads, also if a key is removed and added again.
    known: Arc<Mutex<HashMap<Name, Arc<Encryptions>>>>,
}

/// Key store, key and version.
type Name = (String, ExternalKeyId, KeyVersion);

impl KeyMetrics {
    /// Declares the metric.
    ///
    /// # Errors
    /// [`MetricsError`] when the name is taken.
    pub fn declare(metrics: &Metrics) -> Result<Self, MetricsError> {
        Ok(Self {
            encryptions: metrics.counter(
                "xks_key_encryptions_total",
                "Encryptions by HSMs with a key version since the start, including those whose result was not used. With random IVs, at most 2^32 are allowed in the lifetime of a key.",
                &["store", "key", "version"],
            )?,
            known: Arc::default(),
        })
    }

    pub(super) fn of_version(
        &self,
        store: &str,
        key: &ExternalKeyId,
        version: KeyVersion,
    ) -> Arc<Encryptions> {
        let mut known = self.known.lock().unwrap_or_else(poisoned);
        let name = (store.to_owned(), key.clone(), version);
        let encryptions = known
            .entry(name)
            .or_insert_with(|| Arc::new(self.new_version(store, key, version)));
        Arc::clone(encryptions)
    }

    fn new_version(&self, store: &str, key: &ExternalKeyId, version: KeyVersion) -> Encryptions {
        let version = version.0.to_string();
        let labels = [store, key.as_str(), &version];
        Encryptions {
            counter: Some(self.encryptions.with_label_values(&labels)),
            count: AtomicU64::new(0),
            name: format!("{store}/{key} version {version}"),
        }
    }
}

/// The count of one key version.
#[derive(Debug, Default)]
pub struct Encryptions {
    counter: Option<IntCounter>,
    count: AtomicU64,
    name: String,
}

impl EncryptionCount for Encryptions {
    /// Counts one encryption. Logs a warning when the count reaches a fraction in `WARNINGS`.
    fn count(&self) {
        if let Some(counter) = &self.counter {
            counter.inc();
        }
        let count = self.count.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if is_warning(count) {
            let key = &self.name;
            tracing::warn!(
                key,
                count,
                bound = MAX_ENCRYPTIONS,
                "key is approaching the limit of encryptions with random IVs; rotate it"
            );
        }
    }
}

/// Returns whether the count is exactly at a warning fraction.
fn is_warning(count: u64) -> bool {
    count.is_multiple_of(MAX_ENCRYPTIONS / 16)
        && WARNINGS.contains(&(count / (MAX_ENCRYPTIONS / 16)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_logged_once_at_each_fraction() {
        let sixteenth = MAX_ENCRYPTIONS / 16;
        for share in 0..=16 {
            assert_eq!(
                is_warning(share * sixteenth),
                WARNINGS.contains(&share),
                "{share}"
            );
            assert!(!is_warning(share * sixteenth + 1));
        }
    }

    #[test]
    fn encryptions_are_counted_by_store_key_and_version() {
        let metrics = Metrics::default();
        let id = ExternalKeyId::parse("orders").unwrap();
        let family = KeyMetrics::declare(&metrics).unwrap();
        family.of_version("payments", &id, KeyVersion(2)).count();
        family.of_version("payments", &id, KeyVersion(2)).count();
        family.of_version("retail", &id, KeyVersion(2)).count();
        let text = String::from_utf8(metrics.render().unwrap()).unwrap();
        let line = "xks_key_encryptions_total{key=\"orders\",store=\"payments\",version=\"2\"} 2";
        assert!(text.contains(line), "{text}");
    }
}
