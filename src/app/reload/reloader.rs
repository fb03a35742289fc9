//! A new configuration while the proxy serves: what may change is changed, the rest is named.
//!
//! # Invariants
//! - A configuration with a fault changes nothing. A certificate that is refused is an exception: the previous one serves on, and the rest of the
//!   configuration takes effect.
//! - The key stores, with their credentials, keys and states, and the TLS settings are exchanged in one step: no request sees a mixture.
//! - Of values nothing is logged, only where something is another.

use std::sync::Arc;
use std::time::Instant;

use super::certificate::{CertificateReload, Outcome};
use super::metrics::ReloadMetrics;
use crate::app::auditor::Auditor;
use crate::app::devices::Devices;
use crate::app::start::front_sandbox::FrontSandbox;
use crate::app::stores::StoreMaker;
use crate::config::{
    CertificateReading, CertificateRefusal, Change, Changes, Configuration, Findings, Loaded,
    Reading,
};
use crate::connections::{Connections, ProxyHeaders};
use crate::hsm::HsmSettings;
use crate::keystore::{KeyStores, VpcEndpoints};
use crate::logging::LevelHandle;
use crate::operations::Authorization;
use crate::policy::{Policy, PolicyMetrics};
use crate::server::{Live, ServerMetrics, Serving};

/// Everything that a new configuration reaches.
pub(in crate::app) struct Reloader {
    /// What is in force.
    pub(in crate::app) current: Configuration,
    pub(in crate::app) live: Live,
    pub(in crate::app) connections: Connections,
    pub(in crate::app) headers: ProxyHeaders,
    pub(in crate::app) devices: Arc<Devices>,
    pub(in crate::app) auditor: Auditor,
    pub(in crate::app) stores: StoreMaker,
    pub(in crate::app) server_metrics: ServerMetrics,
    pub(in crate::app) policy_metrics: PolicyMetrics,
    pub(in crate::app) metrics: ReloadMetrics,
    pub(in crate::app) level: LevelHandle,
    /// The state of the certificate over the readings so far.
    pub(in crate::app) certificate: CertificateReload,
    pub(in crate::app) sandbox: FrontSandbox,
}

/// Logs why KMS would not accept the certificate that serves.
pub(in crate::app) fn report_problems(reading: &CertificateReading) {
    for problem in &reading.problems {
        tracing::error!(%problem, "KMS will not accept the certificate; it is served all the same");
    }
}

impl Reloader {
    /// Applies what was read, or logs what is wrong with it.
    pub(in crate::app) fn apply(&mut self, reading: Reading) {
        self.sandbox.report(&reading);
        let certificate = reading.certificate;
        match reading.outcome {
            Ok(loaded) => {
                self.take(loaded, certificate.refusal.is_some());
                self.judge(&certificate);
            }
            Err(faults) => self.refuse(&faults),
        }
    }

    fn take(&mut self, loaded: Loaded, keeps_certificate: bool) {
        let Loaded {
            configuration,
            warnings,
        } = loaded;
        for warning in warnings {
            tracing::warn!(%warning, "configuration");
        }
        self.metrics.succeeded();
        self.metrics.not_applied.show_whole(false);
        let changes = Changes::between(&self.current, &configuration);
        let need_restart = changes.need_restart.iter();
        self.metrics
            .not_applied
            .show_settings("restart", need_restart.map(|change| change.place.clone()));
        if changes.is_empty() {
            self.metrics.count("unchanged");
            if !keeps_certificate {
                tracing::info!("the configuration was read again; nothing has changed");
            }
            return;
        }
        self.exchange(configuration);
        self.tell(&changes);
        self.metrics.count("applied");
    }

    fn refuse(&self, faults: &Findings) {
        self.metrics.failed();
        self.metrics.not_applied.show_whole(true);
        self.metrics.count("refused");
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

    /// Logs and counts what the reading means for the certificate.
    fn judge(&mut self, reading: &CertificateReading) {
        report_problems(reading);
        let outcome = self.certificate.note(reading, Instant::now());
        match (outcome, &reading.refusal) {
            (Outcome::Refuse { is_first }, Some(refusal)) => {
                self.refuse_certificate(refusal, is_first);
            }
            (Outcome::Await, _) => {
                tracing::info!(
                    "certificate and key in the files do not belong together; waiting for the second file"
                );
            }
            (Outcome::Recovered, _) => tracing::info!("the certificate in the files is in force"),
            (Outcome::AsBefore | Outcome::Refuse { .. }, _) => {}
        }
        let reason = self.certificate.reason();
        self.metrics.not_applied.show_certificate(reason);
    }

    fn refuse_certificate(&self, refusal: &CertificateRefusal, is_first: bool) {
        let reason = refusal.reason;
        self.metrics.count_refused_certificate(reason);
        for fault in &refusal.findings {
            tracing::error!(
                reason,
                %fault,
                "the certificate in the files is refused; the one before serves on"
            );
        }
        if is_first {
            self.auditor.note_refused_certificate(reason);
        }
    }

    /// Returns when the files must be read again even if they do not change.
    pub(in crate::app) fn due(&self) -> Option<Instant> {
        self.certificate.due()
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
        let exempt = configuration.exempt_sources();
        self.connections.configure(server.limits.pool(), exempt);
        self.headers
            .trust(server.proxy_protocol_trusted_sources.clone());
        self.server_metrics
            .publish_expiries(&configuration.server.tls);
        self.server_metrics
            .publish_client_auth(server.tls.client_auth_mode());
        self.auditor.expect_within(server.limits.request_timeout);
        self.level.set(configuration.log.level);
        self.current = configuration;
    }

    /// Starts what is new and changes what is another; gives the names of those that are not wanted any more.
    fn start_devices(&self, new: &[HsmSettings]) -> Vec<Arc<str>> {
        let former = |name: &str| self.current.hsms.iter().find(|hsm| *hsm.name == *name);
        for settings in new {
            match former(&settings.name) {
                None => self.devices.add(settings.clone()),
                Some(old) if settings.changes_since(old).is_empty() => {}
                Some(_) => self.devices.change(settings.clone()),
            }
        }
        let is_gone = |old: &&HsmSettings| !new.iter().any(|hsm| hsm.name == old.name);
        let gone = self.current.hsms.iter().filter(is_gone);
        gone.map(|old| Arc::clone(&old.name)).collect()
    }

    fn tell(&self, changes: &Changes) {
        for (Change { place, what }, to) in &changes.switched {
            let store = store_of(place);
            self.metrics.count_switch(store, to.as_str());
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
pub(in crate::app) fn serving(
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
        sample: configuration.access_log_sample,
    }
}

/// The new configuration, but for what cannot change while the proxy runs.
fn keep_what_needs_a_restart(old: &Configuration, mut new: Configuration) -> Configuration {
    if Changes::wait_for_listeners(old, &new) {
        let trusted = &mut new.server.proxy_protocol_trusted_sources;
        trusted.clone_from(&old.server.proxy_protocol_trusted_sources);
    }
    if !old.receives_vpc_endpoints() {
        // Enforced now, they would refuse every request until the restart.
        for store in &mut new.key_stores {
            store.vpc_endpoints = VpcEndpoints::default();
        }
    }
    new.server.listen.clone_from(&old.server.listen);
    new.admin.clone_from(&old.admin);
    new.audit.clone_from(&old.audit);
    new.log.format = old.log.format;
    new.log.otlp.clone_from(&old.log.otlp);
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
