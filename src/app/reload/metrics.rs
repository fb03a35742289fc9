//! What came of the readings of the configuration, as metrics.

use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::{IntCounterVec, IntGauge};

use super::not_applied::NotApplied;
use crate::config::UNUSABLE;
use crate::metrics::{Metrics, MetricsError};
use crate::server::ProblemKind;

/// The metrics.
pub(in crate::app) struct ReloadMetrics {
    reloads: IntCounterVec,
    successful: IntGauge,
    succeeded_at: IntGauge,
    switches: IntCounterVec,
    certificate_failures: IntCounterVec,
    /// Settings in the files that are not in force.
    pub(in crate::app) not_applied: NotApplied,
}

impl ReloadMetrics {
    /// Declares them; the reading at the start counts as a success.
    pub(in crate::app) fn declare(metrics: &Metrics) -> Result<Self, MetricsError> {
        let declared = Self {
            reloads: metrics.counter(
                "xks_config_reloads_total",
                "Times that the configuration was read again, by outcome (applied, unchanged, refused).",
                &["outcome"],
            )?,
            successful: metrics
                .gauge(
                    "xks_config_last_reload_successful",
                    "Whether the configuration was free of faults (1) or not (0) when it was last read.",
                    &[],
                )?
                .with_label_values::<&str>(&[]),
            succeeded_at: metrics
                .gauge(
                    "xks_config_last_reload_success_timestamp_seconds",
                    "When the configuration was last read without faults, in seconds since 1970.",
                    &[],
                )?
                .with_label_values::<&str>(&[]),
            switches: metrics.counter(
                "xks_switches_total",
                "Key stores and keys that their owner has switched, by what they were switched to (enabled, disabled).",
                &["store", "to"],
            )?,
            certificate_failures: metrics.counter(
                "xks_certificate_reload_failures_total",
                "Times that the certificate in the files was refused and the one before serves on, by reason; each minute while it lasts.",
                &["reason"],
            )?,
            not_applied: NotApplied::declare(metrics)?,
        };
        for outcome in ["applied", "unchanged", "refused"] {
            declared.reloads.with_label_values(&[outcome]);
        }
        let reasons = ProblemKind::ALL.map(ProblemKind::as_str);
        for reason in reasons.iter().chain(&UNUSABLE) {
            declared.certificate_failures.with_label_values(&[*reason]);
        }
        declared.succeeded();
        Ok(declared)
    }

    /// The configuration was read without faults.
    pub(in crate::app) fn succeeded(&self) {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
        let seconds = since_1970.unwrap_or_default().as_secs();
        self.successful.set(1);
        self.succeeded_at
            .set(i64::try_from(seconds).unwrap_or(i64::MAX));
    }

    /// The configuration has faults.
    pub(in crate::app) fn failed(&self) {
        self.successful.set(0);
    }

    /// A reading ended so.
    pub(in crate::app) fn count(&self, outcome: &str) {
        self.reloads.with_label_values(&[outcome]).inc();
    }

    /// A key store, or one of its keys, was switched.
    pub(in crate::app) fn count_switch(&self, store: &str, to: &str) {
        self.switches.with_label_values(&[store, to]).inc();
    }

    /// The certificate in the files was refused.
    pub(in crate::app) fn count_refused_certificate(&self, reason: &str) {
        self.certificate_failures.with_label_values(&[reason]).inc();
    }
}
