//! The metrics of the audit trail.

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge};

use super::record::Kind;
use crate::metrics::{Metrics, MetricsError};

/// The metrics of the audit trail.
#[derive(Clone)]
pub struct AuditMetrics {
    pub(super) lines: IntCounterVec,
    pub(super) checkpoints: IntCounterVec,
    pub(super) sealed: IntGauge,
    pub(super) lost: IntCounter,
    pub(super) unrecorded: IntCounter,
    pub(super) failures: IntCounter,
    pub(super) healthy: IntGauge,
    pub(super) sequence: IntGauge,
    pub(super) depth: IntGauge,
    pub(super) batch: Histogram,
}

impl AuditMetrics {
    /// Declares the metrics.
    ///
    /// # Errors
    /// [`MetricsError`] when a name is already declared.
    #[expect(clippy::too_many_lines, reason = "a table of the metrics")]
    pub fn declare(metrics: &Metrics) -> Result<Self, MetricsError> {
        let counter = |name, help| metrics.counter(name, help, &[]);
        let gauge = |name, help| metrics.gauge(name, help, &[]);
        let none: [&str; 0] = [];
        let declared = Self {
            lines: metrics.counter(
                "xks_audit_lines_total",
                "Lines written to the audit trail, by kind.",
                &["kind"],
            )?,
            checkpoints: metrics.counter(
                "xks_audit_checkpoints_total",
                // plain-english: quotation
                "Checkpoints of the audit trail, by outcome: sealed (with an HSM signature) or unsealed.",
                &["outcome"],
            )?,
            sealed: gauge(
                "xks_audit_sealed",
                "1 if the last checkpoint of the audit trail has an HSM signature; otherwise 0. Always 0 without audit.key.",
            )?
            .with_label_values(&none),
            lost: counter(
                "xks_audit_lost_total",
                "Audit entries that were lost: the request was served, or the event happened, without a line.",
            )?
            .with_label_values(&none),
            unrecorded: counter(
                "xks_audit_unrecorded_total",
                "Audit entries without a line in the audit trail, whether the request was rejected or served.",
            )?
            .with_label_values(&none),
            failures: counter(
                "xks_audit_failures_total",
                "Failed attempts to write the audit trail.",
            )?
            .with_label_values(&none),
            healthy: gauge(
                "xks_audit_healthy",
                "1 if the last attempt to write the audit trail succeeded within request_timeout; otherwise 0.",
            )?
            .with_label_values(&none),
            sequence: gauge(
                "xks_audit_sequence",
                "Number (seq) of the last line of the audit trail.",
            )?
            .with_label_values(&none),
            depth: gauge(
                "xks_audit_queue_depth",
                "Entries in the queue of the audit trail.",
            )?
            .with_label_values(&none),
            batch: metrics
                .latency(
                    "xks_audit_batch_seconds",
                    "Time to write a batch of lines to the audit trail. With sync = \"batch\" it includes fdatasync.",
                    &[],
                )?
                .with_label_values(&none),
        };
        declared.create_series();
        Ok(declared)
    }

    /// Counts a checkpoint, and sets the gauge of the last outcome.
    pub(super) fn count_checkpoint(&self, has_seal: bool) {
        let outcome = if has_seal { "sealed" } else { "unsealed" };
        self.checkpoints.with_label_values(&[outcome]).inc();
        self.sealed.set(i64::from(has_seal));
    }

    /// Creates every series with the value 0: the first increase of a series that did not exist is not visible in a rate.
    fn create_series(&self) {
        for kind in Kind::ALL {
            self.lines.with_label_values(&[kind.as_str()]);
        }
        for outcome in ["sealed", "unsealed"] {
            self.checkpoints.with_label_values(&[outcome]);
        }
        self.healthy.set(1);
    }
}
