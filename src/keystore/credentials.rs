//! The metrics of credentials: the last use and the number of requests, so that operators see when an old credential can be removed.

use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use crate::metrics::{Metrics, MetricsError};
use crate::sigv4::{AccessKeyId, Credentials};
use crate::sync::poisoned;

/// The metrics of all credentials.
#[derive(Clone)]
pub struct CredentialMetrics {
    last_used: IntGaugeVec,
    requests: IntCounterVec,
    /// The credentials with time series, to remove those of deleted credentials.
    known: Arc<Mutex<Vec<[String; 2]>>>,
}

impl CredentialMetrics {
    /// Declares the metrics.
    ///
    /// # Errors
    /// [`MetricsError`] when a name is taken.
    pub fn declare(metrics: &Metrics) -> Result<Self, MetricsError> {
        Ok(Self {
            last_used: metrics.gauge(
                "xks_credential_last_used_timestamp_seconds",
                "Time of the last verified request that was signed with the credential, in seconds since the Unix epoch. 0: none since the start.",
                &["store", "access_key_id"],
            )?,
            requests: metrics.counter(
                "xks_credential_requests_total",
                "Verified requests that were signed with the credential.",
                &["store", "access_key_id"],
            )?,
            known: Arc::default(),
        })
    }

    pub(super) fn of_store(&self, store: &str, credentials: &Credentials) -> CredentialUse {
        let used = |id: &AccessKeyId| {
            let labels = [store, id.as_str()];
            Used {
                id: id.clone(),
                last: self.last_used.with_label_values(&labels),
                requests: self.requests.with_label_values(&labels),
            }
        };
        CredentialUse(credentials.iter().map(|c| used(c.id())).collect())
    }

    /// Removes the time series of all other credentials.
    pub fn keep_only<'a>(&self, stores: impl Iterator<Item = (&'a str, &'a Credentials)>) {
        let now: Vec<[String; 2]> = stores
            .flat_map(|(store, credentials)| {
                let labels = |id: &AccessKeyId| [store.to_owned(), id.as_str().to_owned()];
                credentials.iter().map(move |c| labels(c.id()))
            })
            .collect();
        let mut known = self.known.lock().unwrap_or_else(poisoned);
        for [store, id] in known.iter().filter(|labels| !now.contains(labels)) {
            // Fails if the series does not exist, which is the desired state.
            drop(self.last_used.remove_label_values(&[store, id]));
            drop(self.requests.remove_label_values(&[store, id]));
        }
        *known = now;
    }
}

/// The use of each credential of a store.
#[derive(Debug, Default)]
pub struct CredentialUse(Vec<Used>);

#[derive(Debug)]
struct Used {
    id: AccessKeyId,
    last: IntGauge,
    requests: IntCounter,
}

impl CredentialUse {
    /// Notes that a request signed with this credential has been verified.
    pub fn note(&self, id: &AccessKeyId, now: SystemTime) {
        let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        if let Some(used) = self.0.iter().find(|used| used.id == *id) {
            used.last.set(i64::try_from(seconds).unwrap_or(i64::MAX));
            used.requests.inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;
    use crate::sigv4::Credential;
    use std::time::Duration;

    fn credentials(ids: &[&str]) -> Credentials {
        let made = |id: &&str| Credential::new(id, Secret::new("a".repeat(43))).unwrap();
        Credentials::new(ids.iter().map(made).collect())
    }

    #[test]
    fn uses_are_counted_and_series_of_removed_credentials_are_removed() {
        let metrics = Metrics::default();
        let family = CredentialMetrics::declare(&metrics).unwrap();
        let (old, new) = ("AAAAAAAAAAAAAAAAAAAA", "BBBBBBBBBBBBBBBBBBBB");
        let both = credentials(&[old, new]);
        let uses = family.of_store("payments", &both);
        family.keep_only([("payments", &both)].into_iter());
        let second = UNIX_EPOCH + Duration::from_secs(7);
        uses.note(both.iter().next().unwrap().id(), second);
        let text = || String::from_utf8(metrics.render().unwrap()).unwrap();
        assert!(text().contains(&format!("{{access_key_id=\"{old}\",store=\"payments\"}} 7")));
        assert!(text().contains(&format!("{{access_key_id=\"{new}\",store=\"payments\"}} 0")));
        let counted = format!("requests_total{{access_key_id=\"{old}\",store=\"payments\"}} 1");
        assert!(text().contains(&counted));
        family.keep_only([("payments", &credentials(&[new]))].into_iter());
        assert!(!text().contains(old) && text().contains(new));
    }
}
