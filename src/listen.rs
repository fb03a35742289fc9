//! Addresses to listen on: finds conflicts between them, binds them, and accepts connections.
//!
//! `[::]` also accepts IPv4, as is the default of Linux. It accepts only IPv6 if its list contains an IPv4 address with the same port. So `0.0.0.0` and
//! `[::]` can be bound to one port.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

/// The length of the kernel's accept queue: one second of a flood of 1,000 connections per second, while the event loop is busy.
const BACKLOG: i32 = 1_024;

/// An address to listen on, from the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenAddress {
    /// The address; with port 0, the kernel chooses a port.
    pub address: SocketAddr,
    /// True if each connection must begin with a header of PROXY protocol v2.
    pub requires_header: bool,
}

impl From<SocketAddr> for ListenAddress {
    /// Creates an address without PROXY protocol.
    fn from(address: SocketAddr) -> Self {
        let requires_header = false;
        Self {
            address,
            requires_header,
        }
    }
}

/// An address, and whether its socket accepts only IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The address; with port 0, the kernel chooses a port.
    pub address: SocketAddr,
    /// True if the socket accepts only IPv6; always false for an IPv4 address.
    pub only_ipv6: bool,
}

/// Returns the endpoints of one list of addresses.
pub fn endpoints(addresses: &[SocketAddr]) -> Vec<Endpoint> {
    let shares_its_port = |wildcard: &SocketAddr| {
        let mut others = addresses.iter().filter(|other| is_ipv4(other));
        others.any(|other| other.port() == wildcard.port())
    };
    let endpoint = |address: &SocketAddr| Endpoint {
        address: *address,
        only_ipv6: is_ipv6_wildcard(address) && shares_its_port(address),
    };
    addresses.iter().map(endpoint).collect()
}

impl Endpoint {
    /// Returns whether only one of the two can be bound, because both would get the connections to some address.
    pub fn conflicts_with(&self, other: &Self) -> bool {
        let ports = (self.address.port(), other.address.port());
        if ports.0 != ports.1 || ports.0 == 0 {
            return false;
        }
        match (is_ipv4(&self.address), is_ipv4(&other.address)) {
            (true, false) => other.accepts_all_ipv4(),
            (false, true) => self.accepts_all_ipv4(),
            _ => {
                let is_wildcard = |one: &Self| one.address.ip().to_canonical().is_unspecified();
                is_wildcard(self) || is_wildcard(other) || self.is_same_host(other)
            }
        }
    }

    fn accepts_all_ipv4(&self) -> bool {
        is_ipv6_wildcard(&self.address) && !self.only_ipv6
    }

    /// Returns whether both have the same host address. Equal link-local addresses of two interfaces are different hosts.
    fn is_same_host(&self, other: &Self) -> bool {
        let host = |one: &Self| match one.address {
            SocketAddr::V6(v6) => (one.address.ip().to_canonical(), v6.scope_id()),
            SocketAddr::V4(v4) => (IpAddr::V4(*v4.ip()), 0),
        };
        host(self) == host(other)
    }

    fn bind(&self) -> io::Result<TcpListener> {
        let domain = Domain::for_address(self.address);
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        // So a restarted process can bind while connections of the previous process are still in TIME_WAIT.
        socket.set_reuse_address(true)?;
        if domain == Domain::IPV6 {
            socket.set_only_v6(self.only_ipv6)?;
        }
        socket.bind(&self.address.into())?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        TcpListener::from_std(socket.into())
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

/// Binds every address of one list.
///
/// # Errors
/// Returns the error of the first address that cannot be bound; the text names the address.
pub fn bind(list: &[ListenAddress]) -> io::Result<Vec<TcpListener>> {
    let addresses: Vec<SocketAddr> = list.iter().map(|one| one.address).collect();
    let named = |endpoint: &Endpoint, error: io::Error| {
        io::Error::new(
            error.kind(),
            format!("cannot listen on {endpoint}: {error}"),
        )
    };
    let bound = endpoints(&addresses).into_iter();
    bound
        .map(|endpoint| endpoint.bind().map_err(|error| named(&endpoint, error)))
        .collect()
}

/// A connection that was just accepted.
#[derive(Debug)]
pub struct Accepted {
    /// The socket.
    pub socket: TcpStream,
    /// The remote address of the socket.
    pub peer: SocketAddr,
    /// True if the connection must begin with a header of PROXY protocol v2.
    pub requires_header: bool,
}

/// Several listeners. Connections are accepted from them in turn.
#[derive(Debug)]
pub struct Listeners {
    /// The listeners, with whether their connections begin with a PROXY header.
    all: Vec<(TcpListener, bool)>,
    /// The index of the listener that is polled first for the next connection.
    next: AtomicUsize,
}

impl Listeners {
    /// Binds every address of one list.
    ///
    /// # Errors
    /// See [`bind`].
    pub fn bind(list: &[ListenAddress]) -> io::Result<Self> {
        let bound = bind(list)?.into_iter();
        let all = bound
            .zip(list.iter().map(|one| one.requires_header))
            .collect();
        let next = AtomicUsize::new(0);
        Ok(Self { all, next })
    }

    /// Returns the bound addresses. Instead of port 0 they have the port that the kernel chose.
    ///
    /// # Errors
    /// Returns the error of a socket whose address cannot be read.
    pub fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.all.iter().map(|(one, _)| one.local_addr()).collect()
    }

    /// Accepts the next connection of any listener. A busy listener does not delay the others.
    ///
    /// # Errors
    /// See [`TcpListener::accept`].
    pub async fn accept(&self) -> io::Result<Accepted> {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let first = first.checked_rem(self.all.len()).unwrap_or(0);
        poll_fn(|context| {
            let in_turn = self.all.iter().cycle().skip(first).take(self.all.len());
            let mut polls = in_turn.map(|(one, requires_header)| {
                one.poll_accept(context).map_ok(|(socket, peer)| Accepted {
                    socket,
                    peer,
                    requires_header: *requires_header,
                })
            });
            polls.find(Poll::is_ready).unwrap_or(Poll::Pending)
        })
        .await
    }
}

/// Returns whether the address is IPv4 or an IPv4-mapped IPv6 address such as `[::ffff:127.0.0.1]`.
fn is_ipv4(address: &SocketAddr) -> bool {
    address.ip().to_canonical().is_ipv4()
}

fn is_ipv6_wildcard(address: &SocketAddr) -> bool {
    !is_ipv4(address) && address.ip().is_unspecified()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream as Client;

    /// Pairs of addresses of one list with one port, and whether both can be bound.
    const PAIRS: [(&str, &str, bool); 12] = [
        ("0.0.0.0", "[::]", true),
        ("127.0.0.1", "[::]", true),
        ("[::ffff:127.0.0.1]", "[::]", true),
        ("127.0.0.1", "[::1]", true),
        ("0.0.0.0", "[::1]", true),
        ("127.0.0.1", "127.0.0.2", true),
        ("127.0.0.1", "127.0.0.1", false),
        ("127.0.0.1", "[::ffff:127.0.0.1]", false),
        ("0.0.0.0", "127.0.0.1", false),
        ("[::]", "[::1]", false),
        ("[::1]", "[::1]", false),
        ("[::]", "[::]", false),
    ];

    fn on(host: &str, port: u16) -> SocketAddr {
        format!("{host}:{port}").parse().unwrap()
    }

    fn conflicts(list: &[SocketAddr], other_list: &[SocketAddr]) -> bool {
        let others = endpoints(other_list);
        let mut all = endpoints(list).into_iter();
        all.any(|one| others.iter().any(|other| one.conflicts_with(other)))
    }

    /// Returns a port that is free on all addresses. Another process can take it before the test binds it, but that is unlikely.
    fn free_port() -> u16 {
        let wildcard = Endpoint {
            address: on("[::]", 0),
            only_ipv6: false,
        };
        wildcard.bind().unwrap().local_addr().unwrap().port()
    }

    #[tokio::test]
    async fn exactly_the_addresses_that_the_kernel_rejects_conflict() {
        for (first, second, fits) in PAIRS {
            let all = endpoints(&[on(first, 443), on(second, 443)]);
            let same = all[0].conflicts_with(&all[1]);
            assert_eq!(same, all[1].conflicts_with(&all[0]), "{first} {second}");
            assert_eq!(same, !fits, "{first} {second}");
            let bound = (0..5).any(|_| {
                let port = free_port();
                bind(&[on(first, port).into(), on(second, port).into()]).is_ok()
            });
            assert_eq!(bound, fits, "{first} {second}");
        }
    }

    #[tokio::test]
    async fn the_ipv6_wildcard_also_accepts_ipv4_unless_its_list_has_an_ipv4_address() {
        for (hosts, others) in [
            (&["[::]"][..], &["0.0.0.0"][..]),
            (&["[::]"], &["127.0.0.1"]),
        ] {
            let addresses =
                |hosts: &[&str], port| hosts.iter().map(|h| on(h, port)).collect::<Vec<_>>();
            assert!(
                conflicts(&addresses(hosts, 443), &addresses(others, 443)),
                "{others:?}"
            );
            assert!(!conflicts(&addresses(hosts, 443), &addresses(others, 444)));
        }
        let alone = bind(&[on("[::]", 0).into()]).unwrap();
        let port = alone[0].local_addr().unwrap().port();
        assert!(Client::connect(on("127.0.0.1", port)).is_ok());
        assert!(Client::connect(on("[::1]", port)).is_ok());
    }

    #[tokio::test]
    async fn a_busy_listener_does_not_delay_the_other() {
        let listeners =
            Listeners::bind(&[on("127.0.0.1", 0).into(), on("127.0.0.1", 0).into()]).unwrap();
        let addresses = listeners.addresses().unwrap();
        let connect = |at: usize| Client::connect(addresses[at]).unwrap();
        let clients = [connect(0), connect(0), connect(0), connect(1)];
        let mut peers = Vec::new();
        for _ in 0..2 {
            peers.push(listeners.accept().await.unwrap().peer);
        }
        assert!(peers.contains(&clients[3].local_addr().unwrap()));
    }

    #[test]
    fn the_error_names_the_address_that_cannot_be_bound() {
        let error = bind(&[on("192.0.2.1", 443).into()])
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("cannot listen on 192.0.2.1:443: "),
            "{error}"
        );
    }
}
