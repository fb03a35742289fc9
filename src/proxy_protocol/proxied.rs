//! The content of a header about a client's connection.

use std::net::SocketAddr;

use super::endpoint::VpcEndpointId;

/// The number of bytes up to and including the length field.
pub const PREFIX: usize = 16;

/// The accepted address families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Ipv4,
    Ipv6,
}

/// A client's connection to the load balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proxied {
    /// The client's address.
    pub client: SocketAddr,
    /// The address to which the client connected.
    pub destination: SocketAddr,
    /// The VPC endpoint of the client's connection; `None` without AWS PrivateLink.
    pub vpc_endpoint: Option<VpcEndpointId>,
}
