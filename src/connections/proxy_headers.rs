//! Reads the PROXY header at the beginning of a connection from a load balancer.
//!
//! # Invariants
//! - A peer outside the trusted networks is closed before a byte is read: nobody else can claim an address or a VPC endpoint.
//! - Exactly the header is read: what follows is left for TLS or HTTP.
//! - Only a header that is complete, valid and followed by what the listener serves is believed. A connection without one is closed without an
//!   answer.

mod outcome;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::end::End;
use super::networks::Networks;
use super::slot::{Connections, Slot};
use crate::metrics::{Metrics, MetricsError};
use crate::proxy_protocol::{Header, HeaderError, MAX_LENGTH, PREFIX, Prefix, Proxied};
use crate::sync::poisoned;
use outcome::{Outcome, ProxyLog};

/// The time for the whole header. The balancer sends it with the client's first bytes.
const HEADER_TIMEOUT: Duration = Duration::from_secs(2);

/// What must follow a header.
#[derive(Clone, Copy, Debug)]
pub enum FirstByte {
    /// The record type of a TLS handshake.
    Tls,
    /// A capital letter: the method of an HTTP request.
    Http,
}

impl FirstByte {
    fn accepts(self, byte: u8) -> bool {
        match self {
            Self::Tls => byte == 0x16,
            Self::Http => byte.is_ascii_uppercase(),
        }
    }
}

/// The PROXY headers of all listeners; cheap to clone.
#[derive(Clone)]
pub struct ProxyHeaders(Arc<Shared>);

struct Shared {
    trusted: Mutex<Networks>,
    log: ProxyLog,
}

/// Why no client is at the other end.
enum Failure {
    /// Nothing came.
    Empty,
    Timeout,
    Invalid(HeaderError),
    /// A valid header, and then something that the listener does not serve.
    Unexpected,
}

impl ProxyHeaders {
    /// Trusts these networks of load balancers.
    ///
    /// # Errors
    /// [`MetricsError`] when a metric's name is taken.
    pub fn declare(metrics: &Metrics, trusted: Networks) -> Result<Self, MetricsError> {
        let (trusted, log) = (Mutex::new(trusted), ProxyLog::declare(metrics)?);
        Ok(Self(Arc::new(Shared { trusted, log })))
    }

    /// Changes the networks from which headers are accepted, for connections that come.
    pub fn trust(&self, networks: Networks) {
        *self.0.trusted.lock().unwrap_or_else(poisoned) = networks;
    }

    /// A slot for a connection that was just accepted from a load balancer; `None` when it must be closed, because `peer` is not trusted or the
    /// pool is full.
    pub fn admit(&self, connections: &Connections, peer: SocketAddr) -> Option<Slot> {
        if !self.is_trusted(peer) {
            self.0.log.count(&Outcome::Untrusted, peer);
            return None;
        }
        connections.admit_unidentified(peer)
    }

    /// Reads the header, and moves `slot` to the source that it names. Returns the client; none when the balancer checks the health. `patience` is
    /// the time for the first byte behind the header, which is not read.
    ///
    /// # Errors
    /// Why the connection ends.
    pub async fn receive(
        &self,
        socket: &mut TcpStream,
        slot: &Slot,
        (first, patience): (FirstByte, Duration),
    ) -> Result<Option<Proxied>, End> {
        let peer = socket.peer_addr().map_err(|_| End::Closed)?;
        let header = timeout(HEADER_TIMEOUT, read(socket)).await;
        let header = header.unwrap_or(Err(Failure::Timeout));
        let header = header.map_err(|failure| self.fail(&failure, peer))?;
        let (client, outcome) = match header {
            Header::Local => (None, Outcome::Local),
            Header::Proxied(proxied) => (Some(proxied), Outcome::Ok),
        };
        slot.identify(client.as_ref(), peer)?;
        let mut next = [0];
        let end = match timeout(patience, socket.peek(&mut next)).await {
            Ok(Ok(1)) if next.iter().all(|byte| first.accepts(*byte)) => None,
            Ok(Ok(1)) => return Err(self.fail(&Failure::Unexpected, peer)),
            // A health check, or a client that left without a word.
            Ok(_) => Some(End::Closed),
            Err(_) => Some(End::HandshakeTimeout),
        };
        self.0.log.count(&outcome, peer);
        end.map_or(Ok(client), Err)
    }

    /// Logs what was counted since the last call; to be called once per [`super::PERIOD`], and at the end.
    pub fn report(&self) {
        self.0.log.report();
    }

    fn is_trusted(&self, peer: SocketAddr) -> bool {
        let trusted = self.0.trusted.lock().unwrap_or_else(poisoned);
        trusted.contain(peer.ip())
    }

    fn fail(&self, failure: &Failure, peer: SocketAddr) -> End {
        let outcome = match failure {
            Failure::Empty => Outcome::Empty,
            Failure::Timeout => Outcome::Timeout,
            Failure::Invalid(HeaderError::Crc) => Outcome::Crc,
            Failure::Invalid(error) => Outcome::Malformed(error.to_string()),
            Failure::Unexpected => Outcome::Malformed(
                "the bytes behind the header are not what this port serves".into(),
            ),
        };
        self.0.log.count(&outcome, peer);
        match failure {
            Failure::Empty => End::Closed,
            _ => End::ProxyProtocol,
        }
    }
}

/// Reads a header, and not a byte more.
async fn read(socket: &mut TcpStream) -> Result<Header, Failure> {
    let mut first = [0; PREFIX];
    fill(socket, &mut first, Failure::Empty).await?;
    let prefix = Prefix::parse(&first).map_err(Failure::Invalid)?;
    let mut rest = [0; MAX_LENGTH];
    let rest = rest.get_mut(..prefix.length()).unwrap_or_default();
    fill(socket, rest, TRUNCATED).await?;
    prefix.parse_rest(rest).map_err(Failure::Invalid)
}

const TRUNCATED: Failure = Failure::Invalid(HeaderError::Truncated);

/// Fills the buffer; a peer that sends nothing before it closes is `silent`.
async fn fill(
    socket: &mut TcpStream,
    mut unfilled: &mut [u8],
    silent: Failure,
) -> Result<(), Failure> {
    let mut left = silent;
    while !unfilled.is_empty() {
        let read: io::Result<usize> = socket.read(unfilled).await;
        let filled = match read {
            Ok(0) | Err(_) => return Err(left),
            Ok(filled) => filled,
        };
        unfilled = unfilled.get_mut(filled..).unwrap_or_default();
        left = TRUNCATED;
    }
    Ok(())
}
