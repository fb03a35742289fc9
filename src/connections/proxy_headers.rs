//! Reads the PROXY header at the beginning of a connection from a load balancer.
//!
//! # Invariants
//! - A connection from outside the trusted networks is closed before a byte is read, so only trusted peers can claim an address or a VPC endpoint.
//! - Exactly the header is read. The bytes after it are left for TLS or HTTP.
//! - A header is trusted only if it is complete, valid, and followed by the protocol of the listener. A connection without such a header is closed without
//!   a response.

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
use outcome::{HeaderOutcome, OutcomeLog};

/// The time for the whole header. The load balancer sends it with the client's first bytes.
const HEADER_TIMEOUT: Duration = Duration::from_secs(2);

/// The first byte that must follow a header.
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

/// The reader of the PROXY headers of all listeners; cheap to clone.
#[derive(Clone)]
pub struct ProxyHeaders(Arc<HeaderState>);

struct HeaderState {
    trusted: Mutex<Networks>,
    log: OutcomeLog,
}

/// Why the header of a connection is not accepted.
enum Failure {
    /// The connection was closed without a byte.
    Empty,
    Timeout,
    Invalid(HeaderError),
    /// After a valid header follows a byte that the listener's protocol does not allow.
    Unexpected,
}

impl ProxyHeaders {
    /// Declares the metrics, and trusts these networks of load balancers.
    ///
    /// # Errors
    /// [`MetricsError`] when a metric's name is declared already.
    pub fn declare(metrics: &Metrics, trusted: Networks) -> Result<Self, MetricsError> {
        let (trusted, log) = (Mutex::new(trusted), OutcomeLog::declare(metrics)?);
        Ok(Self(Arc::new(HeaderState { trusted, log })))
    }

    /// Changes the networks from which headers are accepted, for new connections.
    pub fn trust(&self, networks: Networks) {
        *self.0.trusted.lock().unwrap_or_else(poisoned) = networks;
    }

    /// Returns a slot for a connection that was just accepted from a load balancer. `None`: the caller must close it, because `peer` is not trusted or a
    /// limit is reached.
    pub fn admit(&self, connections: &Connections, peer: SocketAddr) -> Option<Slot> {
        if !self.is_trusted(peer) {
            self.0.log.count(&HeaderOutcome::Untrusted, peer);
            return None;
        }
        connections.admit_unidentified(peer)
    }

    /// Reads the header and moves `slot` to the source in it. Returns the client; `None` for a health check of the load balancer. Waits at most `time_limit`
    /// for the byte after the header, but does not read it.
    ///
    /// # Errors
    /// Returns why the connection must end.
    pub async fn receive(
        &self,
        socket: &mut TcpStream,
        slot: &Slot,
        (first, time_limit): (FirstByte, Duration),
    ) -> Result<Option<Proxied>, End> {
        let peer = socket.peer_addr().map_err(|_| End::Closed)?;
        let header = timeout(HEADER_TIMEOUT, read(socket)).await;
        let header = header.unwrap_or(Err(Failure::Timeout));
        let header = header.map_err(|failure| self.fail(&failure, peer))?;
        let (client, outcome) = match header {
            Header::Local => (None, HeaderOutcome::Local),
            Header::Proxied(proxied) => (Some(proxied), HeaderOutcome::Ok),
        };
        slot.identify(client.as_ref(), peer)?;
        let mut next = [0];
        let end = match timeout(time_limit, socket.peek(&mut next)).await {
            Ok(Ok(1)) if next.iter().all(|byte| first.accepts(*byte)) => None,
            Ok(Ok(1)) => return Err(self.fail(&Failure::Unexpected, peer)),
            // A health check, or a client that disconnected without sending anything.
            Ok(_) => Some(End::Closed),
            Err(_) => Some(End::HandshakeTimeout),
        };
        self.0.log.count(&outcome, peer);
        end.map_or(Ok(client), Err)
    }

    /// Logs the events counted since the last call. The caller calls it once per [`super::PERIOD`], and at the end.
    pub fn report(&self) {
        self.0.log.report();
    }

    fn is_trusted(&self, peer: SocketAddr) -> bool {
        let trusted = self.0.trusted.lock().unwrap_or_else(poisoned);
        trusted.contain(peer.ip())
    }

    fn fail(&self, failure: &Failure, peer: SocketAddr) -> End {
        let outcome = match failure {
            Failure::Empty => HeaderOutcome::Empty,
            Failure::Timeout => HeaderOutcome::Timeout,
            Failure::Invalid(HeaderError::Crc) => HeaderOutcome::Crc,
            Failure::Invalid(error) => HeaderOutcome::Malformed(error.to_string()),
            Failure::Unexpected => HeaderOutcome::Malformed(
                "the bytes after the header are not of this port's protocol".into(),
            ),
        };
        self.0.log.count(&outcome, peer);
        match failure {
            Failure::Empty => End::Closed,
            _ => End::ProxyProtocol,
        }
    }
}

/// Reads exactly one header.
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

/// Fills the buffer. If the peer closes the connection before the first byte, returns `if_empty`; after the first byte, [`TRUNCATED`].
async fn fill(
    socket: &mut TcpStream,
    mut unfilled: &mut [u8],
    if_empty: Failure,
) -> Result<(), Failure> {
    let mut failure = if_empty;
    while !unfilled.is_empty() {
        let read: io::Result<usize> = socket.read(unfilled).await;
        let filled = match read {
            Ok(0) | Err(_) => return Err(failure),
            Ok(filled) => filled,
        };
        unfilled = unfilled.get_mut(filled..).unwrap_or_default();
        failure = TRUNCATED;
    }
    Ok(())
}
