//! A new configuration while the proxy serves: what may change is changed, the rest is named.
//!
//! # Invariants
//! - A configuration with a fault changes nothing.
//! - The key stores, with their credentials, keys and states, and the TLS settings are exchanged in one step: no request sees a mixture.
//! - Of values nothing is logged, only where something is another.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::{IntCounterVec, IntGauge};

use super::auditor::Auditor;
use super::devices::Devices;
use super::logging::LevelHandle;
use super::stores::StoreMaker;
use crate::config::{Change, Changes, Configuration, Findings, Loaded};
use crate::connections::Connections;
use crate::hsm::HsmSettings;
use crate::keystore::KeyStores;
use crate::metrics::{Metrics, MetricsError};
use crate::operations::Authorization;
use crate::policy::{Policy, PolicyMetrics};
use crate::server::{Live, ServerMetrics, Serving};

/// What came of the readings.
pub(super) struct ReloadMetrics {
    reloads: IntCounterVec,
    successful: IntGauge,
    succeeded_at: IntGauge,
    switches: IntCounterVec,
}

impl ReloadMetrics {
    /// Declares them; the reading at the start counts as a success.
    pub(super) fn declare(metrics: &Metrics) -> Result<Self, MetricsError> {
        let declared = Self {
            reloads: metrics.counter(
                "xks_config_reloads_total",
                "Times that the configuration was read again, by outcome (applied, unchanged, refused).",
                &["outcome"],
            )?,
            successful: metrics
                .gauge(
                    "xks_config_last_reload_successful",
                    "Whether the configuration was free of faults (1) or not (0) when it was last read.",
                    &[],
                )?
                .with_label_values::<&str>(&[]),
            succeeded_at: metrics
                .gauge(
                    "xks_config_last_reload_success_timestamp_seconds",
                    "When the configuration was last read without faults, in seconds since 1970.",
                    &[],
                )?
                .with_label_values::<&str>(&[]),
            switches: metrics.counter(
                "xks_switches_total",
                "Key stores and keys that their owner has switched, by what they were switched to (enabled, disabled).",
                &["store", "to"],
            )?,
        };
        for outcome in ["applied", "unchanged", "refused"] {
            declared.reloads.with_label_values(&[outcome]);
        }
        declared.succeeded();
        Ok(declared)
    }

    fn succeeded(&self) {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
        let seconds = since_1970.unwrap_or_default().as_secs();
        self.successful.set(1);
        self.succeeded_at
            .set(i64::try_from(seconds).unwrap_or(i64::MAX));
    }
}

/// Everything that a new configuration reaches.
pub(super) struct Reloader {
    /// What is in force.
    pub(super) current: Configuration,
    pub(super) live: Live,
    pub(super) connections: Connections,
    pub(super) devices: Arc<Devices>,
    pub(super) auditor: Auditor,
    pub(super) stores: StoreMaker,
    pub(super) server_metrics: ServerMetrics,
    pub(super) policy_metrics: PolicyMetrics,
    pub(super) metrics: ReloadMetrics,
    pub(super) level: LevelHandle,
}

impl Reloader {
    /// Applies what was read, or says what is wrong with it.
    pub(super) fn apply(&mut self, outcome: Result<Loaded, Findings>) {
        let Loaded {
            configuration,
            warnings,
        } = match outcome {
            Ok(loaded) => loaded,
            Err(faults) => return self.refuse(&faults),
        };
        for warning in warnings {
            tracing::warn!(%warning, "configuration");
        }
        self.metrics.succeeded();
        let changes = Changes::between(&self.current, &configuration);
        if changes.is_empty() {
            self.count("unchanged");
            return tracing::info!("the configuration was read again; nothing has changed");
        }
        self.exchange(configuration);
        self.tell(&changes);
        self.count("applied");
    }

    fn refuse(&self, faults: &Findings) {
        self.metrics.successful.set(0);
        self.count("refused");
        for fault in &faults.0 {
            tracing::error!(%fault, "configuration");
        }
        let faults = faults.0.len();
        self.auditor.note_refused_reload(faults);
        tracing::error!(
            faults,
            "the configuration has faults; nothing was changed, the one before stays in force"
        );
    }

    fn count(&self, outcome: &str) {
        self.metrics.reloads.with_label_values(&[outcome]).inc();
    }

    fn exchange(&mut self, configuration: Configuration) {
        let configuration = keep_what_needs_a_restart(&self.current, configuration);
        let gone = self.start_devices(&configuration.hsms);
        let former = Arc::clone(&self.live.now().stores);
        let stores = self
            .stores
            .make(&configuration, &self.devices, Some(&former));
        self.live
            .replace(serving(&configuration, stores, &self.policy_metrics));
        gone.iter().for_each(|name| self.devices.remove(name));
        let server = &configuration.server;
        self.connections
            .configure(server.limits.pool(), server.shared_sources.clone());
        self.server_metrics
            .publish_expiries(&configuration.server.tls.expiries);
        self.level.set(configuration.log.level);
        self.current = configuration;
    }

    /// Starts what is new and changes what is another; gives the names of those that are not wanted any more.
    fn start_devices(&self, new: &[HsmSettings]) -> Vec<Arc<str>> {
        let former = |name: &str| self.current.hsms.iter().find(|hsm| *hsm.name == *name);
        for settings in new {
            let started = match former(&settings.name) {
                None => self.devices.add(settings.clone()),
                Some(old) if settings.changes_since(old).is_empty() => Ok(()),
                Some(_) => self.devices.change(settings.clone()),
            };
            if let Err(error) = started {
                tracing::error!(hsm = %settings.name, %error, "no thread for the HSM");
            }
        }
        let is_gone = |old: &&HsmSettings| !new.iter().any(|hsm| hsm.name == old.name);
        let gone = self.current.hsms.iter().filter(is_gone);
        gone.map(|old| Arc::clone(&old.name)).collect()
    }

    fn tell(&self, changes: &Changes) {
        for (Change { place, what }, to) in &changes.switched {
            let store = store_of(place);
            self.metrics
                .switches
                .with_label_values(&[store, to.as_str()])
                .inc();
            self.auditor.note_switch(store, place, to.as_str());
            tracing::warn!(place, what, "switched by its owner");
        }
        self.auditor.note_reload(changes);
        for Change { place, what } in &changes.applied {
            tracing::info!(place, what, "configuration changed");
        }
        for Change { place, what } in &changes.need_restart {
            tracing::warn!(
                place,
                what,
                "configuration changed, but this needs a restart"
            );
        }
        let (applied, need_restart) = (changes.applied.len(), changes.need_restart.len());
        tracing::info!(applied, need_restart, "the new configuration is in force");
    }
}

/// What the server is to serve by this configuration.
pub(super) fn serving(
    configuration: &Configuration,
    stores: KeyStores,
    metrics: &PolicyMetrics,
) -> Serving {
    let server = &configuration.server;
    let authorization = |policy: &Policy| {
        Arc::new(Authorization {
            policy: policy.clone(),
            metrics: metrics.clone(),
        })
    };
    Serving {
        authorization: configuration.policy.as_ref().map(authorization),
        stores: Arc::new(stores),
        tls: server.tls.clone(),
        limits: server.limits,
        fleet_size: server.fleet_size,
        grace_period: server.grace_period,
        sample: configuration.log.sample,
    }
}

/// The new configuration, but for what cannot change while the proxy runs.
fn keep_what_needs_a_restart(old: &Configuration, mut new: Configuration) -> Configuration {
    new.server.listen.clone_from(&old.server.listen);
    new.admin.clone_from(&old.admin);
    new.audit.clone_from(&old.audit);
    new.log.format = old.log.format;
    new.log.otlp.clone_from(&old.log.otlp);
    for hsm in &mut new.hsms {
        let former = old.hsms.iter().find(|former| former.name == hsm.name);
        if let Some(former) = former.filter(|former| former.module != hsm.module) {
            hsm.clone_from(former);
        }
    }
    new
}

/// The store of a place such as `key_store.payments.key.orders`. Names of stores may hold dots, words of the configuration do not.
fn store_of(place: &str) -> &str {
    let name = place.strip_prefix("key_store.").unwrap_or(place);
    name.split_once(".key.").map_or(name, |(store, _)| store)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_is_counted_for_its_store() {
        for (place, store) in [
            ("key_store.payments", "payments"),
            ("key_store.payments.key.orders", "payments"),
            ("key_store.a.b.key.c.key.d", "a.b"),
        ] {
            assert_eq!(store_of(place), store);
        }
    }
}
