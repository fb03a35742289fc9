//! Applies a new configuration while the proxy serves. Settings that need a restart keep their values and are reported.
//!
//! # Invariants
//! - A configuration with an error changes nothing. Exception: if only the certificate is rejected, the previous certificate stays active
//!   and the rest of the configuration takes effect.
//! - Key stores (with credentials, keys and states) and TLS settings are replaced in one step: no request uses a mixture.
//! - Values are never logged, only the places of changed settings.

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
    Reading, keep_until_restart,
};
use crate::connections::{Connections, ProxyHeaders};
use crate::hsm::HsmSettings;
use crate::keystore::KeyStores;
use crate::logging::LevelHandle;
use crate::operations::Authorization;
use crate::policy::{Policy, PolicyMetrics};
use crate::server::{Live, ServerMetrics, Serving};

/// Everything that a new configuration changes.
pub(in crate::app) struct Reloader {
    /// The active configuration.
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
    /// The state of the certificate across readings.
    pub(in crate::app) certificate: CertificateReload,
    pub(in crate::app) sandbox: FrontSandbox,
}

/// Logs why KMS will not accept the active certificate.
pub(in crate::app) fn report_problems(reading: &CertificateReading) {
    for problem in &reading.problems {
        tracing::error!(%problem, "KMS will not accept the certificate; it is active nevertheless");
    }
}

impl Reloader {
    /// Applies a reading, or logs its errors.
    pub(in crate::app) fn apply(&mut self, reading: Reading) {
        self.sandbox.report(&reading);
        let certificate = reading.certificate;
        match reading.outcome {
            Ok(loaded) => {
                self.apply_loaded(loaded, certificate.refusal.is_some());
                self.apply_certificate(&certificate);
            }
            Err(findings) => self.reject(&findings),
        }
    }

    fn apply_loaded(&mut self, loaded: Loaded, keeps_certificate: bool) {
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
                tracing::info!("configuration reloaded; nothing changed");
            }
            return;
        }
        self.replace(configuration);
        self.report(&changes);
        self.metrics.count("applied");
    }

    fn reject(&self, findings: &Findings) {
        self.metrics.failed();
        self.metrics.not_applied.show_whole(true);
        self.metrics.count("refused");
        for fault in &findings.0 {
            tracing::error!(%fault, "configuration");
        }
        let faults = findings.0.len();
        self.auditor.note_rejected_reload(faults);
        tracing::error!(
            faults,
            "the configuration has errors; nothing was changed, the previous configuration stays active"
        );
    }

    /// Logs and counts what the reading means for the certificate.
    fn apply_certificate(&mut self, reading: &CertificateReading) {
        report_problems(reading);
        let outcome = self.certificate.note(reading, Instant::now());
        match (outcome, &reading.refusal) {
            (Outcome::Refuse { is_first }, Some(refusal)) => {
                self.reject_certificate(refusal, is_first);
            }
            (Outcome::Await, _) => {
                tracing::info!(
                    "certificate and key in the files do not match; waiting for the second file"
                );
            }
            (Outcome::Recovered, _) => tracing::info!("the certificate in the files is active"),
            (Outcome::AsBefore | Outcome::Refuse { .. }, _) => {}
        }
        let reason = self.certificate.reason();
        self.metrics.not_applied.show_certificate(reason);
    }

    fn reject_certificate(&self, refusal: &CertificateRefusal, is_first: bool) {
        let reason = refusal.reason;
        self.metrics.count_rejected_certificate(reason);
        for fault in &refusal.findings {
            tracing::error!(
                reason,
                %fault,
                "the certificate in the files is rejected; the previous one stays active"
            );
        }
        if is_first {
            self.auditor.note_rejected_certificate(reason);
        }
    }

    /// Returns when the files must be read again even if they do not change.
    pub(in crate::app) fn due(&self) -> Option<Instant> {
        self.certificate.due()
    }

    fn replace(&mut self, configuration: Configuration) {
        let configuration = keep_until_restart(&self.current, configuration);
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

    /// Starts new HSMs and changes those with new settings. Returns the names of those to remove.
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

    fn report(&self, changes: &Changes) {
        for (Change { place, what }, to) in &changes.switched {
            let store = store_of(place);
            self.metrics.count_state_change(store, to.as_str());
            self.auditor.note_key_state(store, place, to.as_str());
            tracing::warn!(place, what, "enabled or disabled by the configuration");
        }
        self.auditor.note_reload(changes);
        for Change { place, what } in &changes.applied {
            tracing::info!(place, what, "configuration changed");
        }
        for Change { place, what } in &changes.need_restart {
            tracing::warn!(
                place,
                what,
                "configuration changed; this setting needs a restart"
            );
        }
        let (applied, need_restart) = (changes.applied.len(), changes.need_restart.len());
        tracing::info!(applied, need_restart, "new configuration active");
    }
}

/// Returns what the server needs of this configuration to serve requests.
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

/// Returns the key store of a place such as `key_store.payments.key.orders`. Names of stores may contain dots; names of tables do not.
fn store_of(place: &str) -> &str {
    let name = place.strip_prefix("key_store.").unwrap_or(place);
    name.split_once(".key.").map_or(name, |(store, _)| store)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_of_a_place_is_found_when_names_have_dots() {
        for (place, store) in [
            ("key_store.payments", "payments"),
            ("key_store.payments.key.orders", "payments"),
            ("key_store.a.b.key.c.key.d", "a.b"),
        ] {
            assert_eq!(store_of(place), store);
        }
    }
}
