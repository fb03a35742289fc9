//! The metrics that KMS publishes for an external key store, with the dimensions that AWS documents.

use std::time::Duration;

use super::series::{CloudWatch, MetricName};
use crate::simulator::proxy::errors::ProxyError;
use crate::simulator::proxy::responses::HealthCounts;
use crate::simulator::wire::clock::now;
use crate::sync::poisoned;

/// The only key spec of an external key store.
const KEY_SPEC: (&str, &str) = ("KeySpec", "SYMMETRIC_DEFAULT");

const SECONDS_A_DAY: f64 = 86_400.0;

/// A custom key store.
#[derive(Clone, Copy)]
pub(in crate::simulator) struct StoreName<'a> {
    pub(in crate::simulator) account: &'a str,
    pub(in crate::simulator) region: &'a str,
    pub(in crate::simulator) id: &'a str,
}

/// The measurement of one attempt to call a proxy.
#[derive(Clone, Copy)]
pub(in crate::simulator) struct CallMeasurement<'a> {
    pub(in crate::simulator) kms_operation: &'a str,
    pub(in crate::simulator) xks_operation: &'a str,
    /// None if there was neither a response nor a time-out.
    pub(in crate::simulator) latency: Option<Duration>,
    pub(in crate::simulator) error: Option<ProxyError>,
}

impl CloudWatch {
    /// Publishes XksProxyLatency in milliseconds, and XksProxyErrors: 1 for a failed attempt, otherwise 0.
    pub(in crate::simulator) fn record_attempt(
        &self,
        store: StoreName<'_>,
        measurement: CallMeasurement<'_>,
    ) {
        let common = [
            KEY_SPEC,
            ("KmsOperation", measurement.kms_operation),
            ("XksOperation", measurement.xks_operation),
        ];
        if let Some(latency) = measurement.latency {
            let milliseconds = latency.as_secs_f64() * 1000.0;
            self.publish(store, "XksProxyLatency", &common, milliseconds);
        }
        let (error_type, exception, count) = match measurement.error {
            None => ("N/A", "None", 0.0),
            Some(error) if error.is_retryable() => ("Retryable", error.label(), 1.0),
            Some(error) => ("Non-retryable", error.label(), 1.0),
        };
        let [spec, kms, xks] = common;
        let dimensions = [
            ("ErrorType", error_type),
            ("ExceptionName", exception),
            spec,
            kms,
            xks,
        ];
        self.publish(store, "XksProxyErrors", &dimensions, count);
    }

    /// Publishes XksExternalKeyManagerStates.
    pub(in crate::simulator) fn record_health(&self, store: StoreName<'_>, health: HealthCounts) {
        for (state, count) in [
            ("Active", health.active),
            ("Degraded", health.degraded),
            ("Unavailable", health.unavailable),
        ] {
            let dimensions = [("XksExternalKeyManagerState", state)];
            let metric = "XksExternalKeyManagerStates";
            self.publish(store, metric, &dimensions, count as f64);
        }
    }

    /// Stores the certificate of a proxy, and publishes its XksProxyCertificateDaysToExpire.
    pub(in crate::simulator) fn record_certificate(
        &self,
        store: StoreName<'_>,
        expires: i64,
        name: &str,
    ) {
        let mut certificates = self.certificates.lock().unwrap_or_else(poisoned);
        certificates.insert(store.id.to_owned(), (expires, name.to_owned()));
        drop(certificates);
        self.days_to_expire(store, expires, name);
    }

    /// Publishes XksProxyCertificateDaysToExpire and XksProxyCredentialAge, in days.
    pub(in crate::simulator) fn record_ages(&self, store: StoreName<'_>, credential_seconds: f64) {
        let days = credential_seconds / SECONDS_A_DAY;
        self.publish(store, "XksProxyCredentialAge", &[], days);
        let certificates = self.certificates.lock().unwrap_or_else(poisoned);
        let known = certificates.get(store.id).cloned();
        drop(certificates);
        if let Some((expires, name)) = known {
            self.days_to_expire(store, expires, &name);
        }
    }

    /// Publishes ExternalKeyStoreThrottle.
    pub(in crate::simulator) fn record_throttle(&self, store: StoreName<'_>, kms_operation: &str) {
        let dimensions = [KEY_SPEC, ("KmsOperation", kms_operation)];
        self.publish(store, "ExternalKeyStoreThrottle", &dimensions, 1.0);
    }

    fn days_to_expire(&self, store: StoreName<'_>, expires: i64, name: &str) {
        let days = (expires as f64 - now()) / SECONDS_A_DAY;
        let dimensions = [("CertificateName", name)];
        self.publish(store, "XksProxyCertificateDaysToExpire", &dimensions, days);
    }

    fn publish(
        &self,
        store: StoreName<'_>,
        metric: &'static str,
        more: &[(&'static str, &str)],
        value: f64,
    ) {
        let own = ("CustomKeyStoreId", store.id);
        let all = std::iter::once(&own).chain(more);
        let mut dimensions: Vec<_> = all
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect();
        dimensions.sort();
        let name = MetricName {
            account: store.account.to_owned(),
            region: store.region.to_owned(),
            metric,
            dimensions,
        };
        self.put(name, value, now());
    }
}
