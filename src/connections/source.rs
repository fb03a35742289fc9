//! The source of a connection: the unit by which unverified clients are counted and limited.
//!
//! # Invariants
//! - A client cannot appear as several sources by using several addresses of one IPv6 /64, or by using an IPv4-mapped IPv6 address.
//! - An address in a PROXY header and the same address of a socket are different sources, because they belong to different networks.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::proxy_protocol::{Proxied, VpcEndpointId};

/// The number of bytes of an IPv6 address that identify the network of one subscriber: its /64.
const IPV6_PREFIX_BYTES: usize = 8;

/// A VPC endpoint, an IPv4 address or an IPv6 /64. An IPv4-mapped IPv6 address (`::ffff:192.0.2.1`) is its IPv4 address.
///
/// Limits, budgets and aggregated log lines are kept per source. A source is cheap to clone. Its text form is the id, the address, or the network with
/// `/64`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source(Kind);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Kind {
    Socket(Network),
    /// The client's address in a PROXY header without an endpoint.
    Header(Network),
    Endpoint(VpcEndpointId),
    /// A connection whose PROXY header has not arrived, with a unique number.
    Unidentified(Network, u64),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Network {
    Ipv4(Ipv4Addr),
    Ipv6([u8; IPV6_PREFIX_BYTES]),
}

impl Source {
    /// Returns the source of a connection until its PROXY header has arrived. It is unique for each connection, because a load balancer has few addresses
    /// and all of its clients would count as one source.
    pub(super) fn unidentified(balancer: IpAddr, number: u64) -> Self {
        Self(Kind::Unidentified(balancer.into(), number))
    }
}

impl From<&Proxied> for Source {
    /// Returns the VPC endpoint if the header has one, otherwise the client's address.
    fn from(proxied: &Proxied) -> Self {
        Self(match proxied.vpc_endpoint {
            Some(id) => Kind::Endpoint(id),
            None => Kind::Header(proxied.client.ip().into()),
        })
    }
}

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        Self(Kind::Socket(address.into()))
    }
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        // A socket that listens on `[::]` reports IPv4 clients with IPv4-mapped addresses.
        match address.to_canonical() {
            IpAddr::V4(address) => Self::Ipv4(address),
            IpAddr::V6(address) => Self::Ipv6(prefix(address)),
        }
    }
}

impl From<SocketAddr> for Source {
    fn from(address: SocketAddr) -> Self {
        Self::from(address.ip())
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Socket(network) | Kind::Header(network) | Kind::Unidentified(network, _) => {
                network.fmt(f)
            }
            Kind::Endpoint(id) => id.fmt(f),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Ipv4(address) => address.fmt(f),
            Self::Ipv6(prefix) => write!(f, "{}/64", network(prefix)),
        }
    }
}

fn prefix(address: Ipv6Addr) -> [u8; IPV6_PREFIX_BYTES] {
    let [a, b, c, d, e, f, g, h, ..] = address.octets();
    [a, b, c, d, e, f, g, h]
}

fn network([a, b, c, d, e, f, g, h]: [u8; IPV6_PREFIX_BYTES]) -> Ipv6Addr {
    Ipv6Addr::from([a, b, c, d, e, f, g, h, 0, 0, 0, 0, 0, 0, 0, 0])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(address: &str) -> Source {
        Source::from(address.parse::<IpAddr>().unwrap())
    }

    #[test]
    fn each_ipv4_address_is_one_source() {
        assert_eq!(source("192.0.2.1"), source("192.0.2.1"));
        assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
        let socket: SocketAddr = "192.0.2.1:443".parse().unwrap();
        assert_eq!(
            Source::from(socket),
            source("192.0.2.1"),
            "the port does not matter"
        );
    }

    #[test]
    fn an_ipv4_mapped_address_is_the_source_of_its_ipv4_address() {
        assert_eq!(source("::ffff:192.0.2.1"), source("192.0.2.1"));
        assert_eq!(source("::ffff:192.0.2.1").to_string(), "192.0.2.1");
        assert_ne!(source("::ffff:192.0.2.1"), source("::ffff:192.0.2.2"));
        // The deprecated IPv4-compatible form is an ordinary IPv6 address.
        assert_ne!(source("::192.0.2.1"), source("192.0.2.1"));
    }

    #[test]
    fn an_ipv6_64_is_one_source() {
        assert_eq!(
            source("2001:db8:0:1::1"),
            source("2001:db8:0:1:ffff:ffff:ffff:ffff")
        );
        assert_ne!(source("2001:db8:0:1::1"), source("2001:db8:0:2::1"));
        assert_eq!(source("2001:db8:0:1::1").to_string(), "2001:db8:0:1::/64");
    }

    #[test]
    fn the_source_is_the_vpc_endpoint_or_else_the_address_in_the_header() {
        let proxied = |client: &str, id: &str| Proxied {
            client: client.parse().unwrap(),
            destination: "10.20.0.5:443".parse().unwrap(),
            vpc_endpoint: VpcEndpointId::parse(id.as_bytes()),
        };
        let proxied_source = |client: &str, id: &str| Source::from(&proxied(client, id));
        let (first, second) = ("vpce-0123456789abcdef0", "vpce-0123456789abcdef1");
        assert_eq!(
            proxied_source("10.0.0.1:1", first),
            proxied_source("10.0.0.2:2", first)
        );
        assert_ne!(
            proxied_source("10.0.0.1:1", first),
            proxied_source("10.0.0.1:1", second)
        );
        assert_eq!(
            proxied_source("10.0.0.1:1", ""),
            proxied_source("10.0.0.1:2", "")
        );
        assert_ne!(
            proxied_source("10.0.0.1:1", ""),
            proxied_source("10.0.0.2:1", "")
        );
        assert_ne!(
            proxied_source("10.0.0.1:1", ""),
            proxied_source("10.0.0.1:1", first)
        );
        assert_ne!(
            proxied_source("10.0.0.1:1", ""),
            source("10.0.0.1"),
            "of a socket"
        );
        assert_eq!(proxied_source("10.0.0.1:1", first).to_string(), first);
        assert_eq!(proxied_source("10.0.0.1:1", "").to_string(), "10.0.0.1");
    }

    #[test]
    fn a_connection_without_its_header_is_a_separate_source() {
        let balancer: IpAddr = "10.20.0.7".parse().unwrap();
        let unidentified = |number| Source::unidentified(balancer, number);
        assert_ne!(unidentified(1), unidentified(2));
        assert_ne!(unidentified(1), Source::from(balancer));
        assert_eq!(unidentified(1).to_string(), "10.20.0.7");
    }
}
