//! A blocking TLS connection with one request at a time.

use std::io::{self, ErrorKind, Read, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::endpoint::Endpoint;
use super::request::Request;
use super::response::{self, Response};

/// A TLS connection.
pub struct Connection {
    pub(super) stream: StreamOwned<ClientConnection, TcpStream>,
    unread: Vec<u8>,
}

impl Connection {
    /// Connects and completes the handshake.
    ///
    /// # Errors
    /// TCP or TLS failed. [`received_alert`](super::tls::received_alert) returns the alert in the error.
    pub fn open(endpoint: &Endpoint, config: Arc<ClientConfig>) -> io::Result<Self> {
        let mut socket = endpoint.dial()?;
        let name = ServerName::try_from(endpoint.host.clone()).map_err(io::Error::other)?;
        let mut tls = ClientConnection::new(config, name).map_err(io::Error::other)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut socket)?;
        }
        Ok(Self {
            stream: StreamOwned::new(tls, socket),
            unread: Vec::new(),
        })
    }

    /// Returns the protocol that ALPN selected.
    pub fn protocol(&self) -> Option<&[u8]> {
        self.stream.conn.alpn_protocol()
    }

    /// Returns TLS version and suite as text.
    pub fn agreed(&self) -> String {
        let tls = &self.stream.conn;
        let suite = tls.negotiated_cipher_suite().map(|suite| suite.suite());
        format!("{:?} {suite:?}", tls.protocol_version())
    }

    /// Writes bytes without a change.
    ///
    /// # Errors
    /// The write failed.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// Reads the next response; none if the connection ends. With `head_only`, for HEAD, a response has no body.
    ///
    /// # Errors
    /// No response arrives in time, or the bytes are not a response.
    pub fn response(&mut self, head_only: bool) -> io::Result<Option<Response>> {
        response::read(&mut Incoming(&mut self.stream), &mut self.unread, head_only)
    }

    /// Sends a request and waits for its response.
    ///
    /// # Errors
    /// Those of [`Connection::response`]. A failed write is not an error: a proxy may respond and close before it has read the whole request.
    pub fn exchange(&mut self, request: &Request) -> io::Result<Option<Response>> {
        let written = self.send(&request.bytes());
        match (self.response(request.method == "HEAD"), written) {
            (Ok(None), Err(error)) => Err(error),
            (answer, _) => answer,
        }
    }
}

/// Reads without writing first. Data that `rustls` cannot send to a closed peer must not hide a response that the peer sent before it closed.
struct Incoming<'a>(&'a mut StreamOwned<ClientConnection, TcpStream>);

impl Read for Incoming<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let StreamOwned { conn, sock } = &mut *self.0;
        loop {
            match conn.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                done => return done,
            }
            conn.read_tls(sock)?;
            conn.process_new_packets().map_err(io::Error::other)?;
        }
    }
}
