//! What the configuration says of the server.

use std::time::Duration;

use super::tls::settings::TlsSettings;
use crate::connections::{Networks, PoolLimits};
use crate::listen::ListenAddress;

/// The `[server]` table.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// Where to listen.
    pub listen: Vec<ListenAddress>,
    /// The networks of load balancers from which PROXY headers are accepted, by all listeners that require them.
    pub proxy_protocol_trusted_sources: Networks,
    /// How long running requests may take after SIGTERM.
    pub grace_period: Duration,
    /// Certificate, key and client authentication.
    pub tls: TlsSettings,
    /// Bounds.
    pub limits: Limits,
    /// Load balancers without PROXY protocol: exempt from `max_unverified_per_source`.
    pub shared_sources: Networks,
    /// `xksProxyFleetSize` in the health answer.
    pub fleet_size: u32,
}

/// The `[server.limits]` table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From the request's headers to its answer; below KMS's 250 ms.
    pub request_timeout: Duration,
    /// Connections that have carried a verified request; when there are more, the longest idle one is closed.
    pub max_connections: usize,
    /// Connections that have not; when there are more, the least advanced one is closed.
    pub max_unverified: usize,
    /// The same of one source that has had no verified request lately.
    pub max_unverified_per_source: usize,
    /// When a connection ends with its next answer; more or less by up to a fifth.
    pub max_connection_age: Duration,
    /// For a request's body to come, before its signature can be verified; `request_timeout` bounds it, too.
    pub body_timeout: Duration,
    /// Verified requests at a time; more are refused with ThrottlingException.
    pub max_in_flight: usize,
    /// For the TLS handshake, and for a request's headers once they have begun.
    pub header_timeout: Duration,
    /// Without a request, after which a connection is closed.
    pub idle_timeout: Duration,
    /// The longest request body, in bytes.
    pub max_body: usize,
}

impl Limits {
    /// The bounds of the server's connections.
    pub fn pool(&self) -> PoolLimits {
        PoolLimits {
            max_verified: self.max_connections,
            max_unverified: self.max_unverified,
            max_unverified_per_source: self.max_unverified_per_source,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_timeout: Duration::from_millis(230),
            body_timeout: Duration::from_millis(200),
            max_connections: 2_048,
            max_unverified: 512,
            max_unverified_per_source: 32,
            max_connection_age: Duration::from_secs(15 * 60),
            max_in_flight: 512,
            header_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(75),
            max_body: 64 * 1024,
        }
    }
}
