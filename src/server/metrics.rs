//! The server's metrics.

use std::time::Duration;

use prometheus::{HistogramVec, IntCounter, IntCounterVec, IntGauge};
use rustls::ProtocolVersion;

use super::request::metrics::ResponseMetrics;
use super::request::record::Facts;
use super::tls::certificate::identity::ServerIdentity;
use super::tls::certificate::metrics::CertificateMetrics;
use super::tls::client_auth::metrics::ClientMetrics;
use super::tls::client_auth::settings::ClientAuthMode;
use super::tls::settings::TlsSettings;
use super::unverified::UnverifiedMetrics;
use crate::audit::Outcome;
use crate::metrics::{Metrics, MetricsError};

/// The outcome of a request whose client disconnected before the signature was verified.
const INCOMPLETE: &str = "incomplete";

/// The server's metrics; cheap to clone.
#[derive(Clone)]
pub struct ServerMetrics {
    certificates: CertificateMetrics,
    requests: IntCounterVec,
    durations: HistogramVec,
    handshakes: IntCounterVec,
    responses: ResponseMetrics,
    /// The metrics of client authentication.
    pub(super) clients: ClientMetrics,
    /// The metrics of clients without a verified signature.
    pub(super) unverified: UnverifiedMetrics,
    /// Requests rejected by the in-flight limit.
    pub(super) shed: IntCounter,
    /// Requests that the admit layer has admitted and that are in progress.
    pub(super) in_flight: IntGauge,
    /// Requests rejected because of the VPC endpoint of their connection.
    pub(super) rejected_endpoints: IntCounter,
}

impl ServerMetrics {
    /// Declares the metrics.
    ///
    /// # Errors
    /// [`MetricsError`] when a name is declared already.
    pub fn declare(metrics: &Metrics) -> Result<Self, MetricsError> {
        Ok(Self {
            certificates: CertificateMetrics::declare(metrics)?,
            requests: metrics.counter(
                "xks_requests_total",
                "Requests, by key store, operation and outcome (ok, the errorName, client_disconnected, or incomplete: the client disconnected before its signature was verified).",
                &["store", "operation", "outcome"],
            )?,
            durations: metrics.latency(
                "xks_request_duration_seconds",
                "Time from the headers of a verified request to its response, or to the end of the request when the client disconnected.",
                &["store", "operation"],
            )?,
            handshakes: metrics.counter(
                "xks_tls_handshakes_total",
                "TLS handshakes, by outcome (ok, failed, timeout) and version (1.2, 1.3; none without an agreed version).",
                &["outcome", "version"],
            )?,
            responses: ResponseMetrics::declare(metrics)?,
            clients: ClientMetrics::declare(metrics)?,
            unverified: UnverifiedMetrics::declare(metrics)?,
            shed: metrics
                .counter(
                    "xks_shed_total",
                    "Verified requests rejected by the in-flight limit (load shedding).",
                    &[],
                )?
                .with_label_values::<&str>(&[]),
            rejected_endpoints: metrics
                .counter(
                    "xks_vpc_endpoint_refused_total",
                    "Requests rejected because the key store does not list the VPC endpoint of their connection.",
                    &[],
                )?
                .with_label_values::<&str>(&[]),
            in_flight: metrics
                .gauge("xks_requests_in_flight", "Verified requests in progress.", &[])?
                .with_label_values::<&str>(&[]),
        })
    }

    /// Sets the validity of the certificates: the start for the server's, the end for all. A role without a certificate has no series.
    pub fn publish_expiries(&self, tls: &TlsSettings) {
        // The reload that called this may have changed the key stores.
        self.responses.reset_skews();
        self.certificates.publish(tls);
    }

    /// Sets the active mode of client authentication; `None` is off.
    pub fn publish_client_auth(&self, mode: Option<ClientAuthMode>) {
        self.clients.publish_mode(mode);
    }

    /// Sets the current problems of the certificate. The caller calls it before metrics are read, because they change with time.
    pub fn publish_problems(&self, identity: &ServerIdentity) {
        self.certificates.publish_problems(identity);
    }

    /// Counts a request. Label values come from the configuration and the specification only.
    pub(super) fn count_request(&self, facts: &Facts, duration: Duration) {
        let store = facts.key_store.as_deref().unwrap_or("none");
        let operation = facts
            .operation
            .map_or("none", |operation| operation.as_str());
        let outcome = match (facts.has_disconnected, &facts.fault) {
            (true, _) if !facts.is_verified() => INCOMPLETE,
            (true, _) => Outcome::ClientDisconnected.as_str(),
            (false, None) => Outcome::Ok.as_str(),
            (false, Some(fault)) => fault.kind.name().as_str(),
        };
        self.requests
            .with_label_values(&[store, operation, outcome])
            .inc();
        // A client without a verified signature controls the duration of its requests.
        if facts.is_verified() {
            self.durations
                .with_label_values(&[store, operation])
                .observe(duration.as_secs_f64());
        }
        self.responses.count(facts, duration);
    }

    /// Counts a TLS handshake.
    pub(super) fn count_handshake(&self, outcome: &str, version: Option<ProtocolVersion>) {
        let version = match version {
            Some(ProtocolVersion::TLSv1_3) => "1.3",
            Some(ProtocolVersion::TLSv1_2) => "1.2",
            _ => "none",
        };
        self.handshakes.with_label_values(&[outcome, version]).inc();
    }
}
