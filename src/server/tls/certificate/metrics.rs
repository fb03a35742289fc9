//! The metrics of the server's certificate and of the client CAs.

use prometheus::IntGaugeVec;

use super::identity::ServerIdentity;
use super::problem::ProblemKind;
use crate::metrics::{Metrics, MetricsError};
use crate::server::tls::settings::TlsSettings;

/// The metrics of certificates; cheap to clone.
#[derive(Clone)]
pub(in crate::server) struct CertificateMetrics {
    expiry: IntGaugeVec,
    not_before: IntGaugeVec,
    problem: IntGaugeVec,
}

impl CertificateMetrics {
    pub(in crate::server) fn declare(metrics: &Metrics) -> Result<Self, MetricsError> {
        Ok(Self {
            expiry: metrics.gauge(
                "xks_tls_certificate_expiry_timestamp_seconds",
                "Expiry of the certificate, in seconds since the Unix epoch, by role (server, client_ca).",
                &["role"],
            )?,
            not_before: metrics.gauge(
                "xks_tls_certificate_not_before_timestamp_seconds",
                "Start of the validity of the certificate, in seconds since the Unix epoch, by role (server).",
                &["role"],
            )?,
            problem: metrics.gauge(
                "xks_tls_certificate_problem",
                "1 if KMS would reject the active certificate because of this problem; otherwise 0.",
                &["problem"],
            )?,
        })
    }

    /// Sets the start of the server certificate's validity and the end of every certificate's validity. A role without a certificate has no series.
    pub(in crate::server) fn publish(&self, tls: &TlsSettings) {
        self.expiry.reset();
        self.not_before
            .with_label_values(&["server"])
            .set(tls.identity.not_before());
        for expiry in &tls.expiries {
            self.expiry
                .with_label_values(&[expiry.role])
                .set(expiry.unix_seconds);
        }
    }

    /// Sets the current problems of the certificate.
    pub(in crate::server) fn publish_problems(&self, identity: &ServerIdentity) {
        let problems = identity.problems();
        for kind in ProblemKind::ALL {
            let has_problem = problems.iter().any(|problem| problem.kind == kind);
            self.problem
                .with_label_values(&[kind.as_str()])
                .set(i64::from(has_problem));
        }
    }
}
