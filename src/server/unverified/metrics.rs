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
                "Requests in progress whose signature is not verified yet, by client (verified: its connection had a verified request; known: its source had one in the last ten minutes or is shared; unknown).",
                &["client"],
            )?,
            held: metrics.gauge(
                "xks_unverified_bytes",
                "Bytes held by requests whose signature is not verified yet, by client (verified: its connection had a verified request; known: its source had one in the last ten minutes or is shared; unknown).",
                &["client"],
            )?,
            refused: metrics.counter(
                "xks_unverified_refused_total",
                "Requests rejected before the verification of their signature because such requests held too many bytes, by client (verified, known, unknown).",
                &["client"],
            )?,
            unlogged: metrics.counter(
                "xks_unverified_unlogged_total",
                "Events of clients without a verified signature that have no separate line, by kind of line (request, audit).",
                &["line"],
            )?,
            delayed: metrics.counter(
                "xks_unverified_delayed_total",
                "Requests without a verified signature, and rejections of them, that were delayed because their source sent more than 250 per second.",
                &[],
            )?,
        })
    }
}
