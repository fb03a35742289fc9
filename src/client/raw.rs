//! Requests as bytes, one at a time and blocking: what judging a proxy needs and a well-mannered client would not send.
//!
//! Nothing is normalised, added or repaired but the framing. An answer is read as RFC 9112 has it, or is an error.

mod hello;
mod http2;
mod response;
mod sign;
mod tls;

use std::io::{self, ErrorKind, Read, Write as _};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

pub use hello::{Greeting, Hello, greet};
pub use http2::{Http2Answer, exchange_http2};
pub use response::Response;
pub use sign::Signer;
pub use tls::{Suite, Tls, TlsVersion, alert_of};

/// The alert `handshake_failure` (RFC 8446, section 6).
pub const HANDSHAKE_FAILURE: u8 = 40;

/// Where a proxy listens.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its DNS name, or its address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Where to connect instead of where the name leads.
    pub address: Option<SocketAddr>,
    /// How long to wait for a connection and for each read and write.
    pub patience: Duration,
}

impl Place {
    /// The value of the Host field: the port is left out where it is HTTPS's own.
    pub fn authority(&self) -> String {
        match self.port {
            443 => self.host.clone(),
            port => format!("{}:{port}", self.host),
        }
    }

    /// A TCP connection to the address given, or the first of the name that answers.
    ///
    /// # Errors
    /// What the last address said, or the resolver.
    pub fn dial(&self) -> io::Result<TcpStream> {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        let mut last = io::Error::other("the name has no address");
        let addresses: Vec<SocketAddr> = match self.address {
            Some(address) => vec![address],
            None => (host, self.port).to_socket_addrs()?.collect(),
        };
        for address in addresses {
            match TcpStream::connect_timeout(&address, self.patience) {
                Ok(socket) => return self.prepared(socket),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn prepared(&self, socket: TcpStream) -> io::Result<TcpStream> {
        socket.set_read_timeout(Some(self.patience))?;
        socket.set_write_timeout(Some(self.patience))?;
        socket.set_nodelay(true)?;
        Ok(socket)
    }
}

/// A request that is still to be written.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The request target.
    pub target: String,
    /// Header fields in order; `content-length` is added when the bytes are made, unless it is there.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// A POST with a JSON body.
    pub fn post(target: &str, authority: &str, body: impl Into<Vec<u8>>) -> Self {
        let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        Self {
            method: "POST".to_owned(),
            target: target.to_owned(),
            headers: vec![
                field("host", authority),
                field("content-type", "application/json"),
            ],
            body: body.into(),
        }
    }

    /// The same with another method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        method.clone_into(&mut self.method);
        self
    }

    /// The same with another target.
    #[must_use]
    pub fn target(mut self, target: &str) -> Self {
        target.clone_into(&mut self.target);
        self
    }

    /// The same with another body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// The same with one more field.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same without a field.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        let is_other = |(field, _): &(String, String)| !field.eq_ignore_ascii_case(name);
        self.headers.retain(is_other);
        self
    }

    /// The same with another value for a field.
    #[must_use]
    pub fn replacing(self, name: &str, value: &str) -> Self {
        self.without(name).with(name, value)
    }

    /// The first value of a field; empty if there is none.
    pub fn value(&self, name: &str) -> &str {
        let is_it = |(field, _): &&(String, String)| field.eq_ignore_ascii_case(name);
        let found = self.headers.iter().find(is_it);
        found.map_or("", |(_, value)| value)
    }

    /// Request line, fields and the blank line.
    pub fn head(&self) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        text.into_bytes()
    }

    /// All of it.
    pub fn bytes(&self) -> Vec<u8> {
        let is_framed =
            !self.value("content-length").is_empty() || !self.value("transfer-encoding").is_empty();
        let framed = match is_framed {
            true => self.clone(),
            false => self
                .clone()
                .with("content-length", &self.body.len().to_string()),
        };
        [framed.head(), framed.body].concat()
    }
}

/// One TLS connection.
pub struct Connection {
    stream: StreamOwned<ClientConnection, TcpStream>,
    unread: Vec<u8>,
}

impl Connection {
    /// Connects and completes the handshake.
    ///
    /// # Errors
    /// TCP's, or the handshake's; [`alert_of`] finds the alert in it.
    pub fn open(place: &Place, config: Arc<ClientConfig>) -> io::Result<Self> {
        let mut socket = place.dial()?;
        let name = ServerName::try_from(place.host.clone()).map_err(io::Error::other)?;
        let mut tls = ClientConnection::new(config, name).map_err(io::Error::other)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut socket)?;
        }
        Ok(Self {
            stream: StreamOwned::new(tls, socket),
            unread: Vec::new(),
        })
    }

    /// The protocol that ALPN agreed on.
    pub fn protocol(&self) -> Option<&[u8]> {
        self.stream.conn.alpn_protocol()
    }

    /// TLS version and suite, in words.
    pub fn agreed(&self) -> String {
        let tls = &self.stream.conn;
        let suite = tls.negotiated_cipher_suite().map(|suite| suite.suite());
        format!("{:?} {suite:?}", tls.protocol_version())
    }

    /// Writes bytes as they are.
    ///
    /// # Errors
    /// The connection's.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// The next answer; none if the connection closes instead. `head_only` when HEAD was asked: then there is no body.
    ///
    /// # Errors
    /// When nothing comes in time, or what comes is no answer.
    pub fn response(&mut self, head_only: bool) -> io::Result<Option<Response>> {
        response::read(&mut Incoming(&mut self.stream), &mut self.unread, head_only)
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// As [`Connection::response`]. A write that fails is none: a proxy may answer and close before it has read all.
    pub fn exchange(&mut self, request: &Request) -> io::Result<Option<Response>> {
        let written = self.send(&request.bytes());
        match (self.response(request.method == "HEAD"), written) {
            (Ok(None), Err(error)) => Err(error),
            (answer, _) => answer,
        }
    }
}

/// Reads without writing first: what `rustls` still has to send to a peer that refused a long body, and closed, must not hide the
/// answer that came before the close.
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
