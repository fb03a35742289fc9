//! The source of a connection: the unit in which strangers are counted and limited.
//!
//! # Invariants
//! - One client cannot appear as many sources by choosing other addresses inside one IPv6 /64, or by writing an IPv4 address as IPv6.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The bytes of an IPv6 address that name the network of one subscriber: its /64.
const IPV6_PREFIX_BYTES: usize = 8;

/// An IPv4 address or an IPv6 /64. An IPv4-mapped IPv6 address (`::ffff:192.0.2.1`) is its IPv4 address.
///
/// It is what limits, budgets and aggregated log lines are kept for. It is cheap to clone. Its text form is the address, or the network with
/// `/64`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source(Kind);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Kind {
    Ipv4(Ipv4Addr),
    Ipv6([u8; IPV6_PREFIX_BYTES]),
}

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        // Also undoes the mapping of an IPv4 client at a socket that listens on `[::]`.
        match address.to_canonical() {
            IpAddr::V4(address) => Self(Kind::Ipv4(address)),
            IpAddr::V6(address) => Self(Kind::Ipv6(prefix(address))),
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
        match self.0 {
            Kind::Ipv4(address) => address.fmt(f),
            Kind::Ipv6(prefix) => write!(f, "{}/64", network(prefix)),
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
    fn ipv4_addresses_are_sources_of_their_own() {
        assert_eq!(source("192.0.2.1"), source("192.0.2.1"));
        assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
        let socket: SocketAddr = "192.0.2.1:443".parse().unwrap();
        assert_eq!(
            Source::from(socket),
            source("192.0.2.1"),
            "the port does not count"
        );
    }

    #[test]
    fn an_ipv4_mapped_address_is_its_ipv4_address() {
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
}
