//! The metrics of clients without a verified signature.

use prometheus::{IntCounterVec, IntGaugeVec};

use crate::metrics::{Metrics, MetricsError};

/// See the module; cheap to clone.
#[derive(Clone)]
pub(in crate::server) struct StrangerMetrics {
    pub(super) requests: IntGaugeVec,
    pub(super) held: IntGaugeVec,
    pub(super) refused: IntCounterVec,
    pub(super) unlogged: IntCounterVec,
    pub(super) delayed: IntCounterVec,
}

impl StrangerMetrics {
    pub(in crate::server) fn declare(metrics: &Metrics) -> Result<Self, MetricsError> {
        Ok(Self {
            requests: metrics.gauge(
                "xks_unverified_requests",
                "Requests whose signature is not verified yet now, by client (verified: its connection has carried a verified request; known: its source had one lately or is shared; unknown).",
                &["client"],
            )?,
            held: metrics.gauge(
                "xks_unverified_bytes",
                "Bytes that requests hold whose signature is not verified yet, by client (verified: its connection has carried a verified request; known: its source had one lately or is shared; unknown).",
                &["client"],
            )?,
            refused: metrics.counter(
                "xks_unverified_refused_total",
                "Requests refused before their signature was verified because such requests held too many bytes, by client (verified, known, unknown).",
                &["client"],
            )?,
            unlogged: metrics.counter(
                "xks_unverified_unlogged_total",
                "Events of clients without a verified signature that have no line of their own, by kind of line (request, audit).",
                &["line"],
            )?,
            delayed: metrics.counter(
                "xks_unverified_delayed_total",
                "Requests without a verified signature, or refusals of them, that were delayed because their source sent more than 250 per second.",
                &[],
            )?,
        })
    }
}
