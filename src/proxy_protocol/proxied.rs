//! What a header says of a client's connection.

use std::net::SocketAddr;

use super::endpoint::VpcEndpointId;

/// The bytes up to and including the length field.
pub const PREFIX: usize = 16;

/// The families of addresses that are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Ipv4,
    Ipv6,
}

/// A client's connection as the balancer has received it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proxied {
    /// The client's address.
    pub client: SocketAddr,
    /// The address that the client has connected to.
    pub destination: SocketAddr,
    /// The VPC endpoint through which the client has come; none without AWS PrivateLink.
    pub vpc_endpoint: Option<VpcEndpointId>,
}
