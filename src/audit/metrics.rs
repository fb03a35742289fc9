//! The metrics of the trail.

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge};

use super::record::Kind;
use crate::metrics::{Metrics, MetricsError};

/// The metrics of the trail.
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
    /// Declares them.
    ///
    /// # Errors
    /// [`MetricsError`] when a name is taken.
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
                "Checkpoints of the audit trail, by outcome (sealed, unsealed).",
                &["outcome"],
            )?,
            sealed: gauge(
                "xks_audit_sealed",
                "Whether an HSM sealed the last checkpoint of the audit trail (1) or not (0); 0 also without audit.key.",
            )?
            .with_label_values(&none),
            lost: counter(
                "xks_audit_lost_total",
                "Entries that were not recorded while what they are about went on.",
            )?
            .with_label_values(&none),
            unrecorded: counter(
                "xks_audit_unrecorded_total",
                "Entries that have no line of their own in the audit trail, whether what they are about was refused or went on.",
            )?
            .with_label_values(&none),
            failures: counter(
                "xks_audit_failures_total",
                "Attempts to write the audit trail that failed.",
            )?
            .with_label_values(&none),
            healthy: gauge(
                "xks_audit_healthy",
                "Whether the last attempt to write the audit trail worked (1) or not (0).",
            )?
            .with_label_values(&none),
            sequence: gauge(
                "xks_audit_sequence",
                "The number of the audit trail's last line.",
            )?
            .with_label_values(&none),
            depth: gauge(
                "xks_audit_queue_depth",
                "Entries that wait to be written to the audit trail now.",
            )?
            .with_label_values(&none),
            batch: metrics
                .latency(
                    "xks_audit_batch_seconds",
                    "Time to write a batch of lines to the audit trail and, if so configured, to the disk.",
                    &[],
                )?
                .with_label_values(&none),
        };
        declared.begin();
        Ok(declared)
    }

    /// Counts a checkpoint, and shows whether it was sealed.
    pub(super) fn count_checkpoint(&self, is_sealed: bool) {
        let outcome = if is_sealed { "sealed" } else { "unsealed" };
        self.checkpoints.with_label_values(&[outcome]).inc();
        self.sealed.set(i64::from(is_sealed));
    }

    /// Every series is there from the start: a rate needs its zero.
    fn begin(&self) {
        for kind in Kind::ALL {
            self.lines.with_label_values(&[kind.as_str()]);
        }
        for outcome in ["sealed", "unsealed"] {
            self.checkpoints.with_label_values(&[outcome]);
        }
        self.healthy.set(1);
    }
}
