//! Counters like the metrics that CloudWatch shows of an external key store (kms-behaviour, section 4).

use prometheus::{GaugeVec, HistogramVec, IntCounterVec, IntGaugeVec};

use super::answers::Health;
use super::faults::ProxyFault;
use crate::metrics::{Metrics, MetricsError};

/// All of them.
pub(super) struct Counters {
    registry: Metrics,
    errors: IntCounterVec,
    latency: HistogramVec,
    days_to_expire: GaugeVec,
    managers: IntGaugeVec,
    credential_age: GaugeVec,
    throttled: IntCounterVec,
}

const SECONDS_A_DAY: f64 = 86_400.0;

impl Counters {
    pub(super) fn new() -> Result<Self, MetricsError> {
        let registry = Metrics::new()?;
        Ok(Self {
            errors: registry.counter(
                "xks_proxy_errors_total",
                "Failed calls to a proxy, including each retry (XksProxyErrors).",
                &["store", "operation", "error", "retryable"],
            )?,
            latency: registry.latency(
                "xks_proxy_latency_seconds",
                "Time until a proxy answered (XksProxyLatency).",
                &["store", "operation"],
            )?,
            days_to_expire: registry.real_gauge(
                "xks_proxy_certificate_days_to_expire",
                "Days until the proxy's TLS certificate expires (XksProxyCertificateDaysToExpire).",
                &["store"],
            )?,
            managers: registry.gauge(
                "xks_external_key_manager_states",
                "External key managers by health (XksExternalKeyManagerStates).",
                &["store", "state"],
            )?,
            credential_age: registry.real_gauge(
                "xks_proxy_credential_age_days",
                "Days since KMS received the proxy authentication credential (XksProxyCredentialAge).",
                &["store"],
            )?,
            throttled: registry.counter(
                "external_key_store_throttle_total",
                "Requests beyond the store's quota (ExternalKeyStoreThrottle).",
                &["store"],
            )?,
            registry,
        })
    }

    /// An attempt was answered.
    pub(super) fn answered(&self, store: &str, operation: &str, seconds: f64) {
        self.latency
            .with_label_values(&[store, operation])
            .observe(seconds);
    }

    /// An attempt failed.
    pub(super) fn failed(&self, store: &str, operation: &str, fault: ProxyFault) {
        let retryable = match fault.is_retryable() {
            true => "true",
            false => "false",
        };
        let labels = [store, operation, fault.word(), retryable];
        self.errors.with_label_values(&labels).inc();
    }

    /// A certificate that expires then was shown.
    pub(super) fn certificate(&self, store: &str, expires: i64, now: f64) {
        let days = (expires as f64 - now) / SECONDS_A_DAY;
        self.days_to_expire.with_label_values(&[store]).set(days);
    }

    /// The managers are well, or not.
    pub(super) fn health(&self, store: &str, health: Health) {
        let states = [
            ("ACTIVE", health.active),
            ("DEGRADED", health.degraded),
            ("UNAVAILABLE", health.unavailable),
        ];
        for (state, count) in states {
            self.managers.with_label_values(&[store, state]).set(count);
        }
    }

    /// The credential is that old.
    pub(super) fn credential_age(&self, store: &str, seconds: f64) {
        let age = self.credential_age.with_label_values(&[store]);
        age.set(seconds / SECONDS_A_DAY);
    }

    /// A request was one too many.
    pub(super) fn throttled(&self, store: &str) {
        self.throttled.with_label_values(&[store]).inc();
    }

    /// A store is gone, and what was said of its present with it.
    pub(super) fn forget(&self, store: &str) {
        // What was never there need not go.
        drop(self.days_to_expire.remove_label_values(&[store]));
        drop(self.credential_age.remove_label_values(&[store]));
        for state in ["ACTIVE", "DEGRADED", "UNAVAILABLE"] {
            drop(self.managers.remove_label_values(&[store, state]));
        }
    }

    /// Prometheus' text format.
    pub(super) fn render(&self) -> Result<Vec<u8>, MetricsError> {
        self.registry.render()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xks::ErrorName;

    fn text(counters: &Counters) -> String {
        String::from_utf8(counters.render().unwrap()).unwrap()
    }

    #[test]
    fn errors_say_whether_they_may_pass() {
        let counters = Counters::new().unwrap();
        counters.failed("s", "Encrypt", ProxyFault::Named(ErrorName::Throttling));
        counters.failed("s", "Encrypt", ProxyFault::Tls);
        let text = text(&counters);
        for line in [
            r#"xks_proxy_errors_total{error="ThrottlingException",operation="Encrypt",retryable="true",store="s"} 1"#,
            r#"xks_proxy_errors_total{error="tls",operation="Encrypt",retryable="false",store="s"} 1"#,
        ] {
            assert!(text.contains(line), "{text}");
        }
    }

    #[test]
    fn a_store_that_is_gone_has_no_present() {
        let counters = Counters::new().unwrap();
        counters.certificate("s", 864_000, 0.0);
        counters.credential_age("s", 86_400.0);
        counters.health(
            "s",
            Health {
                active: 2,
                degraded: 0,
                unavailable: 1,
            },
        );
        let before = text(&counters);
        assert!(
            before.contains(r#"xks_proxy_certificate_days_to_expire{store="s"} 10"#),
            "{before}"
        );
        assert!(
            before.contains(r#"xks_external_key_manager_states{state="ACTIVE",store="s"} 2"#),
            "{before}"
        );
        counters.forget("s");
        assert!(!text(&counters).contains(r#"store="s""#));
    }
}
