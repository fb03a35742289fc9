//! The metrics of all devices.

use prometheus::{Histogram, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec};

use crate::metrics::{Metrics, MetricsError};

/// The families; one label set per device.
#[derive(Clone)]
pub struct HsmMetrics {
    queue: HistogramVec,
    device: HistogramVec,
    sessions: IntGaugeVec,
    usable: IntGaugeVec,
    depth: IntGaugeVec,
    opened: IntCounterVec,
    checks: IntCounterVec,
}

impl HsmMetrics {
    /// Declares them.
    ///
    /// # Errors
    /// [`MetricsError`] when a name is taken.
    pub fn declare(metrics: &Metrics) -> Result<Self, MetricsError> {
        Ok(Self {
            queue: metrics.latency(
                "xks_hsm_queue_seconds",
                "Time that jobs waited for an owner thread of the HSM.",
                &["hsm"],
            )?,
            device: metrics.latency(
                "xks_hsm_device_seconds",
                "Time that the HSM worked on jobs.",
                &["hsm", "operation"],
            )?,
            sessions: metrics.gauge(
                "xks_hsm_sessions",
                "PKCS#11 sessions open now, the one for login and health check included.",
                &["hsm"],
            )?,
            usable: metrics.gauge(
                "xks_hsm_usable",
                "Whether the HSM serves (1) or not (0).",
                &["hsm"],
            )?,
            depth: metrics.gauge(
                "xks_hsm_queue_depth",
                "Jobs that wait for an owner thread of the HSM now.",
                &["hsm"],
            )?,
            opened: metrics.counter(
                "xks_hsm_open_attempts_total",
                "Attempts to open the HSM, by outcome (opened, failed).",
                &["hsm", "outcome"],
            )?,
            checks: metrics.counter(
                "xks_hsm_health_checks_total",
                "Deep health checks of the HSM, by outcome (ok, impaired, failed).",
                &["hsm", "outcome"],
            )?,
        })
    }

    /// The children of one device, looked up once.
    pub(super) fn of_device(&self, name: &str) -> DeviceMetrics {
        let device = |operation| self.device.with_label_values(&[name, operation]);
        DeviceMetrics {
            queue: self.queue.with_label_values(&[name]),
            encrypt: device("encrypt"),
            decrypt: device("decrypt"),
            describe: device("metadata"),
            sessions: self.sessions.with_label_values(&[name]),
            usable: self.usable.with_label_values(&[name]),
            depth: self.depth.with_label_values(&[name]),
            opened: self.opened.clone(),
            checks: self.checks.clone(),
            name: name.to_owned(),
        }
    }
}

/// One device's metrics.
pub(super) struct DeviceMetrics {
    pub queue: Histogram,
    pub encrypt: Histogram,
    pub decrypt: Histogram,
    pub describe: Histogram,
    pub sessions: IntGauge,
    pub usable: IntGauge,
    pub depth: IntGauge,
    opened: IntCounterVec,
    checks: IntCounterVec,
    name: String,
}

impl DeviceMetrics {
    pub(super) fn count_open(&self, outcome: &str) {
        self.opened.with_label_values(&[&self.name, outcome]).inc();
    }

    pub(super) fn count_check(&self, outcome: &str) {
        self.checks.with_label_values(&[&self.name, outcome]).inc();
    }
}
