//! The metrics of client authentication.
//!
//! # Invariants
//! - No label value comes from a client.

use prometheus::{IntCounterVec, IntGaugeVec};

use super::classification::{Finding, Leaf, Reason};
use super::settings::ClientAuthMode;
use crate::connections::ClientCertificate;
use crate::metrics::{Metrics, MetricsError};

/// The metrics of client authentication; cheap to clone.
#[derive(Clone)]
pub(in crate::server) struct ClientMetrics {
    certificates: IntCounterVec,
    not_after: IntGaugeVec,
    client_auth: IntGaugeVec,
    mode: IntGaugeVec,
}

impl ClientMetrics {
    pub(in crate::server) fn declare(metrics: &Metrics) -> Result<Self, MetricsError> {
        let declared = Self {
            certificates: metrics.counter(
                "xks_client_certificates_total",
                "Connections for which the proxy requested a client certificate, by result (verified, absent, server_auth_only, unverified) and reason.",
                &["result", "reason"],
            )?,
            not_after: metrics.gauge(
                "xks_client_certificate_not_after_seconds",
                "Expiry of the last client certificate that was received, in seconds since the Unix epoch.",
                &[],
            )?,
            client_auth: metrics.gauge(
                "xks_client_certificate_client_auth",
                "1 if the last client certificate that was received allows client authentication; otherwise 0.",
                &[],
            )?,
            mode: metrics.gauge(
                "xks_client_auth_mode",
                "Active mode of client authentication (1). All other modes are 0.",
                &["mode"],
            )?,
        };
        declared.create_series();
        Ok(declared)
    }

    /// Creates every series of the counter with the value 0. Prometheus does not count the first increase of a series that starts at 1.
    fn create_series(&self) {
        use ClientCertificate::{Absent, ServerAuthOnly, Unverified, Verified};
        for (result, reason) in [
            (Verified, Reason::None),
            (Absent, Reason::None),
            (ServerAuthOnly, Reason::Eku),
        ] {
            self.create(result, reason);
        }
        let reasons = Reason::ALL.into_iter();
        reasons
            .filter(|reason| *reason != Reason::None)
            .for_each(|reason| self.create(Unverified, reason));
    }

    fn create(&self, result: ClientCertificate, reason: Reason) {
        let labels = [result.as_str(), reason.as_str()];
        self.certificates.with_label_values(&labels);
    }

    /// Counts a connection for which a certificate was requested, and sets the gauges of the certificate.
    pub(in crate::server) fn count(&self, finding: &Finding, leaf: Option<Leaf>) {
        let labels = [finding.result.as_str(), finding.reason.as_str()];
        self.certificates.with_label_values(&labels).inc();
        let Some(leaf) = leaf else { return };
        let set = |gauge: &IntGaugeVec, value| gauge.with_label_values::<&str>(&[]).set(value);
        set(&self.not_after, leaf.not_after);
        set(&self.client_auth, i64::from(leaf.is_for_clients));
    }

    /// Sets the active mode; `None` is off.
    pub(in crate::server) fn publish_mode(&self, mode: Option<ClientAuthMode>) {
        for (name, is_active) in [
            ("off", mode.is_none()),
            ("optional", mode == Some(ClientAuthMode::Optional)),
            ("required", mode == Some(ClientAuthMode::Required)),
        ] {
            let value = i64::from(is_active);
            self.mode.with_label_values(&[name]).set(value);
        }
    }
}
