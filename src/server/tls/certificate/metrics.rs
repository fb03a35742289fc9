//! The metrics of the server's certificate, and of the certificates that it trusts.

use prometheus::IntGaugeVec;

use super::identity::ServerIdentity;
use super::problem::ProblemKind;
use crate::metrics::{Metrics, MetricsError};
use crate::server::tls::settings::TlsSettings;

/// Cheap to clone.
#[derive(Clone)]
pub(in crate::server) struct CertificateMetrics {
    expiry: IntGaugeVec,
    begin: IntGaugeVec,
    problem: IntGaugeVec,
}

impl CertificateMetrics {
    pub(in crate::server) fn declare(metrics: &Metrics) -> Result<Self, MetricsError> {
        Ok(Self {
            expiry: metrics.gauge(
                "xks_tls_certificate_expiry_timestamp_seconds",
                "When the certificate ends, in seconds since 1970 (role: server, client_ca).",
                &["role"],
            )?,
            begin: metrics.gauge(
                "xks_tls_certificate_not_before_timestamp_seconds",
                "When the server's certificate became valid, in seconds since 1970 (role: server).",
                &["role"],
            )?,
            problem: metrics.gauge(
                "xks_tls_certificate_problem",
                "Whether KMS would refuse the certificate that serves (1) because of this problem, or not (0).",
                &["problem"],
            )?,
        })
    }

    /// Sets when the server's certificate began, and when the certificates end; a role that is not among them has no end.
    pub(in crate::server) fn publish(&self, tls: &TlsSettings) {
        self.expiry.reset();
        self.begin
            .with_label_values(&["server"])
            .set(tls.identity.not_before());
        for expiry in &tls.expiries {
            self.expiry
                .with_label_values(&[expiry.role])
                .set(expiry.unix_seconds);
        }
    }

    /// Sets what is wrong with the certificate now.
    pub(in crate::server) fn publish_problems(&self, identity: &ServerIdentity) {
        let problems = identity.problems();
        for kind in ProblemKind::ALL {
            let has_it = problems.iter().any(|problem| problem.kind == kind);
            self.problem
                .with_label_values(&[kind.as_str()])
                .set(i64::from(has_it));
        }
    }
}
