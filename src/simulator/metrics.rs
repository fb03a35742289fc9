//! Prometheus metrics of external key stores. They correspond to the CloudWatch metrics of KMS (kms-behaviour, section 4).

use prometheus::{GaugeVec, HistogramVec, IntCounterVec, IntGaugeVec};

use crate::metrics::{Metrics, MetricsError};
use crate::simulator::proxy::errors::ProxyError;
use crate::simulator::proxy::responses::HealthCounts;

/// The metrics of all stores.
pub(super) struct KeyStoreMetrics {
    registry: Metrics,
    errors: IntCounterVec,
    latency: HistogramVec,
    days_to_expire: GaugeVec,
    managers: IntGaugeVec,
    credential_age: GaugeVec,
    throttled: IntCounterVec,
}

const SECONDS_A_DAY: f64 = 86_400.0;

impl KeyStoreMetrics {
    pub(super) fn new() -> Result<Self, MetricsError> {
        let registry = Metrics::new()?;
        Ok(Self {
            errors: registry.counter(
                "xks_proxy_errors_total",
                "Failed attempts to call a proxy (XksProxyErrors).",
                &["store", "operation", "error", "retryable"],
            )?,
            latency: registry.latency(
                "xks_proxy_latency_seconds",
                "Latency of the responses of a proxy, in seconds (XksProxyLatency).",
                &["store", "operation"],
            )?,
            days_to_expire: registry.real_gauge(
                "xks_proxy_certificate_days_to_expire",
                "Days until the TLS certificate of the proxy expires (XksProxyCertificateDaysToExpire).",
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
                "Requests beyond the quota of the store (ExternalKeyStoreThrottle).",
                &["store"],
            )?,
            registry,
        })
    }

    /// Records the latency of an attempt that got a response.
    pub(super) fn record_latency(&self, store: &str, operation: &str, seconds: f64) {
        self.latency
            .with_label_values(&[store, operation])
            .observe(seconds);
    }

    /// Records a failed attempt.
    pub(super) fn record_error(&self, store: &str, operation: &str, error: ProxyError) {
        let retryable = match error.is_retryable() {
            true => "true",
            false => "false",
        };
        let labels = [store, operation, error.label(), retryable];
        self.errors.with_label_values(&labels).inc();
    }

    /// Records the expiry of the certificate of a proxy. Both times are in seconds since 1970.
    pub(super) fn record_certificate(&self, store: &str, expires: i64, now: f64) {
        let days = (expires as f64 - now) / SECONDS_A_DAY;
        self.days_to_expire.with_label_values(&[store]).set(days);
    }

    /// Records the health of the external key managers.
    pub(super) fn record_health(&self, store: &str, health: HealthCounts) {
        let states = [
            ("ACTIVE", health.active),
            ("DEGRADED", health.degraded),
            ("UNAVAILABLE", health.unavailable),
        ];
        for (state, count) in states {
            self.managers.with_label_values(&[store, state]).set(count);
        }
    }

    /// Records the age of the credential, in seconds.
    pub(super) fn record_credential_age(&self, store: &str, seconds: f64) {
        let age = self.credential_age.with_label_values(&[store]);
        age.set(seconds / SECONDS_A_DAY);
    }

    /// Records a request beyond the quota.
    pub(super) fn record_throttle(&self, store: &str) {
        self.throttled.with_label_values(&[store]).inc();
    }

    /// Removes the gauges of a deleted store.
    pub(super) fn forget(&self, store: &str) {
        // A gauge that was never set cannot be removed.
        drop(self.days_to_expire.remove_label_values(&[store]));
        drop(self.credential_age.remove_label_values(&[store]));
        for state in ["ACTIVE", "DEGRADED", "UNAVAILABLE"] {
            drop(self.managers.remove_label_values(&[store, state]));
        }
    }

    /// Returns the metrics in the text format of Prometheus.
    pub(super) fn render(&self) -> Result<Vec<u8>, MetricsError> {
        self.registry.render()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xks::ErrorName;

    fn text(metrics: &KeyStoreMetrics) -> String {
        String::from_utf8(metrics.render().unwrap()).unwrap()
    }

    #[test]
    fn errors_have_a_retryable_label() {
        let metrics = KeyStoreMetrics::new().unwrap();
        metrics.record_error("s", "Encrypt", ProxyError::Named(ErrorName::Throttling));
        metrics.record_error("s", "Encrypt", ProxyError::Tls);
        let text = text(&metrics);
        for line in [
            r#"xks_proxy_errors_total{error="ThrottlingException",operation="Encrypt",retryable="true",store="s"} 1"#,
            r#"xks_proxy_errors_total{error="tls",operation="Encrypt",retryable="false",store="s"} 1"#,
        ] {
            assert!(text.contains(line), "{text}");
        }
    }

    #[test]
    fn a_deleted_store_has_no_gauges() {
        let metrics = KeyStoreMetrics::new().unwrap();
        metrics.record_certificate("s", 864_000, 0.0);
        metrics.record_credential_age("s", 86_400.0);
        metrics.record_health(
            "s",
            HealthCounts {
                active: 2,
                degraded: 0,
                unavailable: 1,
            },
        );
        let before = text(&metrics);
        assert!(
            before.contains(r#"xks_proxy_certificate_days_to_expire{store="s"} 10"#),
            "{before}"
        );
        assert!(
            before.contains(r#"xks_external_key_manager_states{state="ACTIVE",store="s"} 2"#),
            "{before}"
        );
        metrics.forget("s");
        assert!(!text(&metrics).contains(r#"store="s""#));
    }
}
