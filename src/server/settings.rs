//! The settings of the server in the configuration.

use std::time::Duration;

use super::tls::settings::TlsSettings;
use crate::connections::{Networks, PoolLimits};
use crate::listen::ListenAddress;

/// The `[server]` table.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// The addresses to listen on.
    pub listen: Vec<ListenAddress>,
    /// The networks of load balancers from which PROXY headers are accepted, by all listeners that require them.
    pub proxy_protocol_trusted_sources: Networks,
    /// The time that requests in progress may take after SIGTERM.
    pub grace_period: Duration,
    /// Certificate, key and client authentication.
    pub tls: TlsSettings,
    /// The limits.
    pub limits: Limits,
    /// Load balancers without PROXY protocol. They are exempt from `max_unverified_per_source`.
    pub shared_sources: Networks,
    /// `xksProxyFleetSize` in the GetHealthStatus response.
    pub fleet_size: u32,
}

/// The `[server.limits]` table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The time from a request's headers to its response; below the 250 ms of KMS.
    pub request_timeout: Duration,
    /// The maximum number of connections that have carried a verified request. At the limit, the one that is idle for the longest time is closed.
    pub max_connections: usize,
    /// The maximum number of connections that have not carried a verified request. At the limit, the least advanced one is closed.
    pub max_unverified: usize,
    /// The maximum number of such connections of one source. It does not apply to sources with a verified request in the last ten minutes.
    pub max_unverified_per_source: usize,
    /// The age after which a connection ends with its next response. It varies by up to a fifth in both directions.
    pub max_connection_age: Duration,
    /// The time in which a request's body must arrive, before its signature can be verified. `request_timeout` bounds it too.
    pub body_timeout: Duration,
    /// The maximum number of verified requests in progress. More are rejected with ThrottlingException.
    pub max_in_flight: usize,
    /// The time for the TLS handshake, and for a request's headers after their first byte.
    pub header_timeout: Duration,
    /// The time without a request after which a connection is closed.
    pub idle_timeout: Duration,
    /// The longest request body, in bytes.
    pub max_body: usize,
}

impl Limits {
    /// Returns the limits of the server's connections.
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
