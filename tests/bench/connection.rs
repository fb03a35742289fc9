//! A kept-alive HTTP/1.1 connection of the programs in this directory, over TLS or plain TCP.
//!
//! Blocking, with one thread per connection: a thread wakes within about 50 µs of the intended time, an async timer within 1 ms.

use std::error::Error;
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// The timeout of a request.
const PATIENCE: Duration = Duration::from_secs(5);

/// The result of a step. The error is a text for the user.
pub type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Opens a TCP connection to a listener of the proxy.
pub fn tcp(address: SocketAddr) -> Outcome<TcpStream> {
    let tcp = TcpStream::connect_timeout(&address, PATIENCE)?;
    tcp.set_nodelay(true)?;
    tcp.set_read_timeout(Some(PATIENCE))?;
    Ok(tcp)
}

/// The proxy's TLS listener. Its certificate must be for localhost.
#[derive(Clone)]
pub struct Server {
    address: SocketAddr,
    tls: Arc<ClientConfig>,
}

impl Server {
    /// Returns the listener at `address`, whose certificate was issued by the CA in the PEM file.
    pub fn new(address: SocketAddr, ca: &Path) -> Outcome<Self> {
        Ok(Self::with(address, client_config(ca)?))
    }

    /// Returns the listener at `address`, for connections with this TLS configuration.
    pub fn with(address: SocketAddr, tls: ClientConfig) -> Self {
        let tls = Arc::new(tls);
        Self { address, tls }
    }

    /// Opens a connection and completes the handshake.
    pub fn connect(&self) -> Outcome<TlsConnection> {
        Ok(Connection::over(self.stream()?))
    }

    /// Opens a TLS stream and completes the handshake.
    pub fn stream(&self) -> Outcome<TlsStream> {
        let name = ServerName::try_from("localhost")?;
        let tls = ClientConnection::new(Arc::clone(&self.tls), name)?;
        let mut stream = StreamOwned::new(tls, tcp(self.address)?);
        stream.conn.complete_io(&mut stream.sock)?;
        Ok(stream)
    }
}

/// Returns a configuration for TLS 1.3 that trusts the CA in the PEM file.
pub fn client_config(ca: &Path) -> Outcome<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca)?)?;
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

/// A TLS stream to the listener.
pub type TlsStream = StreamOwned<ClientConnection, TcpStream>;

/// A connection to the TLS listener.
pub type TlsConnection = Connection<TlsStream>;

/// A response.
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

/// An open connection. It cannot be used after an error.
pub struct Connection<S: Read>(BufReader<S>);

impl<S: Read + Write> Connection<S> {
    /// Uses HTTP over an open stream.
    pub fn over(stream: S) -> Self {
        Self(BufReader::new(stream))
    }

    /// Sends the bytes of a request, and waits for the response. A response without a length is an error.
    pub fn exchange(&mut self, request: &[u8]) -> Outcome<Answer> {
        self.0.get_mut().write_all(request)?;
        let status = self.status()?;
        let length = self.content_length()?;
        let mut body = Vec::with_capacity(length.try_into()?);
        let read = (&mut self.0).take(length).read_to_end(&mut body)?;
        match read as u64 == length {
            true => Ok(Answer { status, body }),
            false => Err(Box::new(io::Error::from(io::ErrorKind::UnexpectedEof))),
        }
    }

    fn status(&mut self) -> Outcome<u16> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        let status = line
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.split(' ').next());
        let status = status.ok_or_else(|| format!("not a response: {line:?}"))?;
        Ok(status.trim().parse()?)
    }

    fn content_length(&mut self) -> Outcome<u64> {
        let mut length = None;
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line)?;
            match line.trim_end().split_once(':') {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = Some(value.trim().parse()?);
                }
                Some(_) => {}
                None => return length.ok_or_else(|| "a response without a length".into()),
            }
        }
    }
}
