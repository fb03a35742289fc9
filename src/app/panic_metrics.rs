//! The metric of panics that the process survived.

use prometheus::IntCounter;

use crate::metrics::{Metrics, MetricsError};
use crate::sync::{Scope, panics};

/// `xks_panics_total`. It is updated before metrics are read, because the panic hook must not depend on the metrics.
pub(super) struct PanicMetrics([(Scope, IntCounter); Scope::ALL.len()]);

impl PanicMetrics {
    /// Declares the metric.
    pub(super) fn declare(metrics: &Metrics) -> Result<Self, MetricsError> {
        let counter = metrics.counter(
            "xks_panics_total",
            "Panics, by the task that they ended (request, connection, admin). A panic anywhere else ends the process.",
            &["where"],
        )?;
        Ok(Self(Scope::ALL.map(|scope| {
            (scope, counter.with_label_values(&[scope.as_str()]))
        })))
    }

    /// Updates the metric.
    pub(super) fn publish(&self) {
        for (scope, counter) in &self.0 {
            counter.inc_by(panics(*scope).saturating_sub(counter.get()));
        }
    }
}
