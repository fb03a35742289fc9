//! HTTP/1.1 as bytes: requests that a correct client library would not send.

use std::io::{self, Read as _, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use tokio::net::TcpSocket;
use tokio::runtime::Builder;

use crate::harness::PATIENCE;
use crate::harness::response::{Response, read_response};

/// A request before it is written.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The request target.
    pub target: String,
    /// The header fields in order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// Returns a POST with a JSON body.
    pub fn post(target: &str, host: &str, body: impl Into<Vec<u8>>) -> Self {
        let headers = [("host", host), ("content-type", "application/json")];
        let headers = headers
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec();
        Self {
            method: "POST".into(),
            target: target.into(),
            headers,
            body: body.into(),
        }
    }

    /// Returns the request with a different method.
    pub fn method(mut self, method: &str) -> Self {
        method.clone_into(&mut self.method);
        self
    }

    /// Returns the request with an additional field.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Returns the request without a field.
    pub fn without(mut self, name: &str) -> Self {
        self.headers
            .retain(|(field, _)| !field.eq_ignore_ascii_case(name));
        self
    }

    /// Returns the request with a different value of a field.
    pub fn replacing(self, name: &str, value: &str) -> Self {
        self.without(name).with(name, value)
    }

    /// Returns the first value of a field.
    pub fn value(&self, name: &str) -> &str {
        let field = self
            .headers
            .iter()
            .find(|(field, _)| field.eq_ignore_ascii_case(name));
        field.map_or("", |(_, value)| value)
    }

    /// Returns the request line, the fields and the blank line, without framing.
    pub fn head(&self) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        text.into_bytes()
    }

    /// Returns the whole request, with Content-Length.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self
            .clone()
            .with("content-length", &self.body.len().to_string())
            .head();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// A TLS connection.
pub struct Connection {
    stream: StreamOwned<ClientConnection, TcpStream>,
    unread: Vec<u8>,
}

impl Connection {
    /// Connects and completes the handshake.
    pub fn open(address: SocketAddr, config: Arc<ClientConfig>) -> io::Result<Self> {
        Self::over(tcp(address)?, config)
    }

    /// Opens a connection from this loopback address, which is a different source for the proxy.
    pub fn open_from(
        source: Ipv4Addr,
        address: SocketAddr,
        config: Arc<ClientConfig>,
    ) -> io::Result<Self> {
        Self::over(tcp_from(source, address)?, config)
    }

    /// Completes the handshake on a connected socket.
    pub fn over(mut socket: TcpStream, config: Arc<ClientConfig>) -> io::Result<Self> {
        let name = ServerName::try_from("localhost").unwrap();
        let mut tls = ClientConnection::new(config, name).map_err(io::Error::other)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut socket)?;
        }
        Ok(Self {
            stream: StreamOwned::new(tls, socket),
            unread: Vec::new(),
        })
    }

    /// Returns the TLS session.
    pub fn tls(&self) -> &ClientConnection {
        &self.stream.conn
    }

    /// Writes bytes without a change.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// Reads the next response, also an interim one; `None` if the connection ends.
    #[track_caller]
    pub fn response(&mut self) -> Option<Response> {
        read_response(&mut self.stream, &mut self.unread, false).expect("an answer or a close")
    }

    /// Reads the next response to a HEAD request, which has no body.
    #[track_caller]
    pub fn head_response(&mut self) -> Option<Response> {
        read_response(&mut self.stream, &mut self.unread, true).expect("an answer or a close")
    }

    /// Sets the timeout for the next bytes.
    pub fn set_patience(&self, patience: Duration) {
        self.stream.sock.set_read_timeout(Some(patience)).unwrap();
    }

    /// Closes the sending side, also if the peer has gone, and keeps reading.
    pub fn finish_sending(&mut self) {
        self.stream.conn.send_close_notify();
        let _ = self.stream.flush();
        let _ = self.stream.sock.shutdown(Shutdown::Write);
    }

    /// Reads the next response or the end of the connection; an error if neither arrives.
    pub fn try_response(&mut self) -> io::Result<Option<Response>> {
        read_response(&mut self.stream, &mut self.unread, false)
    }

    /// Sends a request and waits for its response.
    #[track_caller]
    pub fn exchange(&mut self, request: &Request) -> Response {
        self.send(&request.bytes())
            .expect("a connection that takes the request");
        self.response().expect("an answer, not a close")
    }

    /// Reads the rejection of an invalid request: the proxy's JSON, or the end of the connection (`None`). Anything else fails the test.
    #[track_caller]
    pub fn next_error_response(&mut self) -> Option<Response> {
        let response = self.response()?;
        let name = response.json()["errorName"].clone();
        assert!(
            response.status >= 400 && name.is_string(),
            "not a rejection: {response:?}"
        );
        Some(response)
    }

    /// Reads until the connection ends.
    pub fn drain(&mut self) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.unread);
        // An end without a TLS close is fine; only a timeout is not.
        match self.stream.read_to_end(&mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => panic!("never closed"),
            _ => bytes,
        }
    }

    /// Waits for the end of the connection; fails the test if more bytes arrive.
    #[track_caller]
    pub fn assert_closes(&mut self) {
        if let Some(surplus) = self.response() {
            panic!("the connection should have been closed, but: {surplus:?}");
        }
    }
}

/// Opens a TCP connection with the harness's timeout.
pub fn tcp(address: SocketAddr) -> io::Result<TcpStream> {
    patient(TcpStream::connect(address)?)
}

/// Opens a TCP connection from another address of this machine, such as 127.0.0.2, which is a different source for the proxy.
pub fn tcp_from(source: Ipv4Addr, address: SocketAddr) -> io::Result<TcpStream> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    let socket = runtime.block_on(async {
        let socket = TcpSocket::new_v4()?;
        socket.bind((source, 0).into())?;
        socket.connect(address).await?.into_std()
    })?;
    socket.set_nonblocking(false)?;
    patient(socket)
}

fn patient(socket: TcpStream) -> io::Result<TcpStream> {
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    socket.set_nodelay(true)?;
    Ok(socket)
}

/// Sends a request over plain HTTP, as the admin listener uses it.
#[track_caller]
pub fn plain(address: SocketAddr, method: &str, target: &str) -> Response {
    let mut socket = tcp(address).unwrap();
    let head =
        format!("{method} {target} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    socket.write_all(head.as_bytes()).unwrap();
    read_response(&mut socket, &mut Vec::new(), method == "HEAD")
        .unwrap()
        .unwrap()
}
