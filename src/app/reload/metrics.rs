//! Metrics of configuration reloads.

use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::{IntCounterVec, IntGauge};

use super::not_applied::NotApplied;
use crate::config::UNUSABLE;
use crate::metrics::{Metrics, MetricsError};
use crate::server::ProblemKind;

/// Metrics of configuration reloads.
pub(in crate::app) struct ReloadMetrics {
    reloads: IntCounterVec,
    successful: IntGauge,
    succeeded_at: IntGauge,
    switches: IntCounterVec,
    certificate_failures: IntCounterVec,
    /// Settings in the files that are not active.
    pub(in crate::app) not_applied: NotApplied,
}

impl ReloadMetrics {
    /// Declares the metrics. The reading at the start counts as a successful reload.
    pub(in crate::app) fn declare(metrics: &Metrics) -> Result<Self, MetricsError> {
        let declared = Self {
            reloads: metrics.counter(
                "xks_config_reloads_total",
                // plain-english: quotation
                    "Reloads of the configuration, by outcome (applied, unchanged, refused).",
                &["outcome"],
            )?,
            successful: metrics
                .gauge(
                    "xks_config_last_reload_successful",
                    "1 if the configuration had no errors at the last reload; otherwise 0.",
                    &[],
                )?
                .with_label_values::<&str>(&[]),
            succeeded_at: metrics
                .gauge(
                    "xks_config_last_reload_success_timestamp_seconds",
                    "Time of the last reload without errors, in seconds since the Unix epoch.",
                    &[],
                )?
                .with_label_values::<&str>(&[]),
            switches: metrics.counter(
                "xks_switches_total",
                "Key stores and keys that were disabled or enabled by a reload, by new state (enabled, disabled).",
                &["store", "to"],
            )?,
            certificate_failures: metrics.counter(
                "xks_certificate_reload_failures_total",
                "Rejected certificate files, by reason. The previous certificate stays active, and the count increases every minute until the files are fixed.",
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

    /// Notes that the configuration was read without errors.
    pub(in crate::app) fn succeeded(&self) {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
        let seconds = since_1970.unwrap_or_default().as_secs();
        self.successful.set(1);
        self.succeeded_at
            .set(i64::try_from(seconds).unwrap_or(i64::MAX));
    }

    /// Notes that the configuration has errors.
    pub(in crate::app) fn failed(&self) {
        self.successful.set(0);
    }

    /// Counts a reload with this outcome.
    pub(in crate::app) fn count(&self, outcome: &str) {
        self.reloads.with_label_values(&[outcome]).inc();
    }

    /// Counts that a key store, or one of its keys, was enabled or disabled.
    pub(in crate::app) fn count_state_change(&self, store: &str, to: &str) {
        self.switches.with_label_values(&[store, to]).inc();
    }

    /// Counts that the certificate in the files was rejected.
    pub(in crate::app) fn count_rejected_certificate(&self, reason: &str) {
        self.certificate_failures.with_label_values(&[reason]).inc();
    }
}
