//! The outcome of PROXY headers: a metric, and a bounded number of log lines.

use std::net::SocketAddr;

use prometheus::IntCounterVec;

use crate::connections::tally::Tally;
use crate::metrics::{Metrics, MetricsError};

/// The outcome of a header.
pub(super) enum HeaderOutcome {
    /// The header names a client.
    Ok,
    /// The header is that of a connection of the load balancer itself.
    Local,
    /// The connection was closed without a byte. A health check over TCP does that.
    Empty,
    /// The peer is outside the trusted networks.
    Untrusted,
    /// The header is not valid, for this reason.
    Malformed(String),
    /// The checksum is wrong.
    Crc,
    /// The header was not complete in time.
    Timeout,
}

impl HeaderOutcome {
    const LABELS: [&str; 7] = [
        "ok",
        "local",
        "empty",
        "untrusted",
        "malformed",
        "crc",
        "timeout",
    ];

    fn label(&self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Local => "local",
            Self::Empty => "empty",
            Self::Untrusted => "untrusted",
            Self::Malformed(_) => "malformed",
            Self::Crc => "crc",
            Self::Timeout => "timeout",
        }
    }

    /// Returns why the connection was closed; `None` if that is not a failure.
    fn failure(&self) -> Option<&str> {
        match self {
            Self::Ok | Self::Local | Self::Empty => None,
            Self::Untrusted => Some("the peer is not in server.proxy_protocol_trusted_sources"),
            Self::Malformed(reason) => Some(reason),
            Self::Crc => Some("the CRC32C of the header is wrong"),
            Self::Timeout => Some("the header was not complete within 2 s"),
        }
    }
}

/// Counts and logs outcomes.
pub(super) struct OutcomeLog {
    headers: IntCounterVec,
    failures: Tally<(SocketAddr, String)>,
    /// Counted separately, because any client can cause them: they must not hide the other failures.
    untrusted: Tally<(SocketAddr, String)>,
}

impl OutcomeLog {
    /// Declares the metric.
    pub(super) fn declare(metrics: &Metrics) -> Result<Self, MetricsError> {
        let headers = metrics.counter(
            "xks_proxy_protocol_total",
            "Connections to listeners that require a PROXY header, by result (ok, local: from the load balancer itself, empty: closed without any data, untrusted, malformed, crc, timeout).",
            &["result"],
        )?;
        for label in HeaderOutcome::LABELS {
            headers.with_label_values(&[label]);
        }
        Ok(Self {
            headers,
            failures: Tally::default(),
            untrusted: Tally::default(),
        })
    }

    pub(super) fn count(&self, outcome: &HeaderOutcome, peer: SocketAddr) {
        self.headers.with_label_values(&[outcome.label()]).inc();
        let Some(reason) = outcome.failure() else {
            return;
        };
        let tally = match outcome {
            HeaderOutcome::Untrusted => &self.untrusted,
            _ => &self.failures,
        };
        if let Some((peer, reason)) = tally.add((peer, reason.to_owned())) {
            log(1, peer, &reason);
        }
    }

    /// Logs the events counted since the last call.
    pub(super) fn report(&self) {
        for tally in [&self.failures, &self.untrusted] {
            if let Some((count, (peer, reason))) = tally.end_period() {
                log(count, peer, &reason);
            }
        }
    }
}

fn log(count: u64, peer: SocketAddr, reason: &str) {
    tracing::warn!(count, %peer, reason, "connections closed because of their PROXY header");
}
