//! The metrics of clients without a verified signature.

use prometheus::{IntCounterVec, IntGaugeVec};

use crate::metrics::{Metrics, MetricsError};

/// The metrics of clients without a verified signature; cheap to clone.
#[derive(Clone)]
pub(in crate::server) struct UnverifiedMetrics {
    pub(super) requests: IntGaugeVec,
    pub(super) held: IntGaugeVec,
    pub(super) refused: IntCounterVec,
    pub(super) unlogged: IntCounterVec,
    pub(super) delayed: IntCounterVec,
}

impl UnverifiedMetrics {
    pub(in crate::server) fn declare(metrics: &Metrics) -> Result<Self, MetricsError> {
        Ok(Self {
            requests: metrics.gauge(
                "xks_unverified_requests",
                "Requests in progress whose signature is not verified yet, by client (verified: its connection has carried a verified request; known: its source is shared or had a verified request within ten minutes; unknown).",
                &["client"],
            )?,
            held: metrics.gauge(
                "xks_unverified_bytes",
                "Bytes held by requests whose signature is not verified yet, by client (verified: its connection has carried a verified request; known: its source is shared or had a verified request within ten minutes; unknown).",
                &["client"],
            )?,
            refused: metrics.counter(
                "xks_unverified_refused_total",
                "Requests rejected because requests without a verified signature held too many bytes, by client (verified, known, unknown).",
                &["client"],
            )?,
            unlogged: metrics.counter(
                "xks_unverified_unlogged_total",
                "Events of clients without a verified signature that have no line, by kind of line (request: access log, audit: audit trail).",
                &["line"],
            )?,
            delayed: metrics.counter(
                "xks_unverified_delayed_total",
                "Requests without a verified signature that were delayed because their source sent more than 250 per second.",
                &[],
            )?,
        })
    }
}
