//! What the configuration says of the server.

use std::net::SocketAddr;
use std::time::Duration;

use super::tls::TlsSettings;

/// The `[server]` table.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// Where to listen; port 0 lets the system choose.
    pub listen: Vec<SocketAddr>,
    /// How long running requests may take after SIGTERM.
    pub grace_period: Duration,
    /// Certificate, key and client authentication.
    pub tls: TlsSettings,
    /// Bounds.
    pub limits: Limits,
    /// `xksProxyFleetSize` in the health answer.
    pub fleet_size: u32,
}

/// The `[server.limits]` table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From the request's headers to its answer; below KMS's 250 ms.
    pub request_timeout: Duration,
    /// Connections at a time; more wait in the kernel.
    pub max_connections: usize,
    /// Requests at a time; more are refused with ThrottlingException.
    pub max_in_flight: usize,
    /// For the TLS handshake, and for a request's headers once they have begun.
    pub header_timeout: Duration,
    /// Without a request, after which a connection is closed.
    pub idle_timeout: Duration,
    /// The longest request body, in bytes.
    pub max_body: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_timeout: Duration::from_millis(230),
            max_connections: 2_048,
            max_in_flight: 512,
            header_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(75),
            max_body: 64 * 1024,
        }
    }
}
