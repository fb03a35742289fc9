//! The metrics of the connections of each listener.

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::end::End;
use super::pool::{Counts, PoolLimits};
use crate::metrics::{Metrics, MetricsError};

/// The metrics of all listeners; cheap to clone.
#[derive(Clone)]
pub struct ConnectionMetrics {
    open: IntGaugeVec,
    limits: IntGaugeVec,
    closed: IntCounterVec,
    accept_failures: IntCounterVec,
}

impl ConnectionMetrics {
    /// Declares the metrics.
    ///
    /// # Errors
    /// [`MetricsError`] when a name is declared already.
    pub fn declare(metrics: &Metrics) -> Result<Self, MetricsError> {
        Ok(Self {
            open: metrics.gauge(
                "xks_connections",
                "Open connections, by listener (server, admin) and state (handshake; unverified: no verified request yet; verified).",
                &["listener", "state"],
            )?,
            limits: metrics.gauge(
                "xks_connections_limit",
                "Limit of open connections, by listener and state (unverified includes the state handshake; verified).",
                &["listener", "state"],
            )?,
            closed: metrics.counter(
                "xks_connections_closed_total",
                "Connections that the proxy closed, by listener, reason and source (known: a shared source, or one with a verified request in the last ten minutes; unknown).",
                &["listener", "reason", "source"],
            )?,
            accept_failures: metrics.counter(
                "xks_accept_failures_total",
                "Failed attempts to accept a connection because of a lack of descriptors or memory, by listener.",
                &["listener"],
            )?,
        })
    }

    /// Returns the metrics of one listener.
    pub(super) fn of(&self, listener: &'static str) -> ListenerMetrics {
        let gauge =
            |gauges: &IntGaugeVec, state: &str| gauges.with_label_values(&[listener, state]);
        for end in End::ALL {
            for source in ["known", "unknown"] {
                self.closed
                    .with_label_values(&[listener, end.as_str(), source]);
            }
        }
        ListenerMetrics {
            listener,
            handshake: gauge(&self.open, "handshake"),
            unverified: gauge(&self.open, "unverified"),
            verified: gauge(&self.open, "verified"),
            unverified_limit: gauge(&self.limits, "unverified"),
            verified_limit: gauge(&self.limits, "verified"),
            closed: self.closed.clone(),
            accept_failures: self.accept_failures.with_label_values(&[listener]),
        }
    }
}

/// The metrics of one listener.
pub(super) struct ListenerMetrics {
    /// The name of the listener.
    pub listener: &'static str,
    pub accept_failures: IntCounter,
    handshake: IntGauge,
    unverified: IntGauge,
    verified: IntGauge,
    unverified_limit: IntGauge,
    verified_limit: IntGauge,
    closed: IntCounterVec,
}

impl ListenerMetrics {
    pub(super) fn publish(&self, counts: Counts) {
        set(&self.handshake, counts.handshake);
        set(&self.unverified, counts.unverified);
        set(&self.verified, counts.verified);
    }

    pub(super) fn publish_limits(&self, limits: PoolLimits) {
        set(&self.unverified_limit, limits.max_unverified);
        set(&self.verified_limit, limits.max_verified);
    }

    pub(super) fn count_closed(&self, end: End, is_known: bool) {
        let source = if is_known { "known" } else { "unknown" };
        self.closed
            .with_label_values(&[self.listener, end.as_str(), source])
            .inc();
    }
}

fn set(gauge: &IntGauge, count: usize) {
    gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
}
