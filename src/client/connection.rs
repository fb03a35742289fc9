//! A connection to a proxy, and the calls on it.

use std::error::Error as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::error::CallError;
use super::tls::TlsClient;
use crate::secret::SecretBytes;
use crate::sigv4::Signer;
use crate::sync::task;

/// The longest answer that is read. No answer of the API comes near it.
const MAX_ANSWER: usize = 1 << 20;

/// The time limit for reading the error of a connection that has ended.
const END_OF_CONNECTION: Duration = Duration::from_secs(1);

/// The proxy to call, the credential and the TLS settings.
#[derive(Debug)]
pub struct Caller {
    /// The address of the proxy's listener.
    pub address: SocketAddr,
    /// The DNS name of the proxy: in the certificate and in the Host field.
    pub host: String,
    /// The port in the Host field. It may differ from the port of `address`, because KMS connects to 443 only.
    pub named_port: u16,
    /// The `XksProxyUriPath`: prefix and `/kms/xks/v1`.
    pub path: String,
    /// Signs each request.
    pub signer: Signer,
    /// TLS settings.
    pub tls: TlsClient,
}

/// The result of a handshake, and its duration.
#[derive(Clone, Debug)]
pub struct Handshake {
    /// The duration of the TCP handshake.
    pub tcp: Duration,
    /// The duration of the TLS handshake.
    pub tls: Duration,
    /// `TLSv1_2` or `TLSv1_3`.
    pub version: String,
    /// The IANA name of the suite.
    pub suite: String,
    /// The certificates that the server presented, its own first, as DER.
    pub chain: Vec<Vec<u8>>,
}

/// An open connection.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// Drives the connection, and returns its error.
    driver: JoinHandle<Result<(), hyper::Error>>,
    handshake: Handshake,
}

/// A response of the proxy.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The header fields.
    pub headers: HeaderMap,
    /// The body. It may contain a plaintext.
    pub body: SecretBytes,
    /// The time from before the request was signed until the whole body was received.
    pub took: Duration,
}

impl Caller {
    /// Returns the value of the Host field, without the port when it is 443.
    pub fn authority(&self) -> String {
        match self.named_port {
            443 => self.host.clone(),
            port => format!("{}:{port}", self.host),
        }
    }

    /// Opens a TCP connection. Callers set the timeout: the system's limit applies otherwise.
    ///
    /// # Errors
    /// [`CallError::Connect`].
    pub async fn dial(&self) -> Result<TcpStream, CallError> {
        let socket = TcpStream::connect(self.address)
            .await
            .map_err(CallError::Connect)?;
        socket.set_nodelay(true).map_err(CallError::Connect)?;
        Ok(socket)
    }

    /// Opens a connection and completes the TLS handshake.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn connect(&self) -> Result<Connection, CallError> {
        let start = Instant::now();
        let socket = self.dial().await?;
        let tcp = start.elapsed();
        let name = ServerName::try_from(self.host.clone());
        let name = name.map_err(|_| CallError::HostName(self.host.clone()))?;
        let connector = TlsConnector::from(Arc::clone(&self.tls.0));
        let stream = connector
            .connect(name, socket)
            .await
            .map_err(CallError::Tls)?;
        let handshake = handshake(&stream, tcp, start.elapsed().saturating_sub(tcp));
        let io = TokioIo::new(stream);
        let (sender, connection) = http1::handshake(io).await.map_err(CallError::Http)?;
        let driver = task("client-connection", connection);
        Ok(Connection {
            sender,
            driver,
            handshake,
        })
    }
}

fn handshake(stream: &TlsStream<TcpStream>, tcp: Duration, tls: Duration) -> Handshake {
    let (_, session) = stream.get_ref();
    let version = session.protocol_version();
    let suite = session.negotiated_cipher_suite().map(|suite| suite.suite());
    let chain = session.peer_certificates().unwrap_or_default();
    Handshake {
        tcp,
        tls,
        version: version
            .map(|version| format!("{version:?}"))
            .unwrap_or_default(),
        suite: suite.map(|suite| format!("{suite:?}")).unwrap_or_default(),
        chain: chain
            .iter()
            .map(|certificate| certificate.to_vec())
            .collect(),
    }
}

impl Connection {
    /// Returns the result of the handshake.
    pub fn handshake(&self) -> &Handshake {
        &self.handshake
    }

    /// Returns whether the connection can carry another call.
    pub fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Signs and sends `body` to `operation`, a path below the `XksProxyUriPath`, and waits for the whole response.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn call(
        &mut self,
        caller: &Caller,
        operation: &str,
        body: Vec<u8>,
    ) -> Result<Answer, CallError> {
        let start = Instant::now();
        let request = signed(caller, operation, body)?;
        let answer = match self.send(request).await {
            Ok(answer) => answer,
            Err(error) => return Err(CallError::Http(self.cause_of(error).await)),
        };
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await;
        let body = body.map_err(|_| CallError::Body)?.to_bytes();
        Ok(Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body: SecretBytes::new(body.to_vec()),
            took: start.elapsed(),
        })
    }
}

impl Connection {
    async fn send(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Response<Incoming>> {
        // The connection may still be reading the end of the previous response.
        self.sender.ready().await?;
        self.sender.send_request(request).await
    }

    /// Returns the error of the connection, if the driver has a more precise one than the call.
    async fn cause_of(&mut self, error: hyper::Error) -> hyper::Error {
        // A cancelled request has a cause too, but not always the cause of the end of the connection.
        if error.source().is_some() && !error.is_canceled() {
            return error;
        }
        match timeout(END_OF_CONNECTION, &mut self.driver).await {
            Ok(Ok(Err(cause))) => cause,
            _ => error,
        }
    }
}

impl Drop for Connection {
    /// A cancelled call closes its connection.
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Returns the error of a response: the API's error name, or a description. Returns none for a success.
pub fn error_text(status: u16, body: &[u8]) -> Option<String> {
    if status == 200 {
        return match body.first() {
            Some(b'{') => None,
            _ => Some("status 200 without JSON".to_owned()),
        };
    }
    let named = serde_json::from_slice::<ErrorBody>(body).ok();
    let name = named
        .map(|body| body.error_name)
        .filter(|name| is_name(name));
    Some(name.unwrap_or_else(|| format!("status {status} without an error name")))
}

/// The API's error body.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ErrorBody {
    error_name: String,
}

/// Checks that an error name from the network is a short word: tools show and count it.
fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric())
}

fn signed(
    caller: &Caller,
    operation: &str,
    body: Vec<u8>,
) -> Result<Request<Full<Bytes>>, CallError> {
    let path = format!("{}/{operation}", caller.path);
    let headers = caller
        .signer
        .headers(&caller.authority(), &path, &body, SystemTime::now());
    let mut request = Request::new(Full::new(Bytes::from(body)));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = path.parse().map_err(|_| CallError::Request)?;
    *request.headers_mut() = headers.ok_or(CallError::Request)?;
    Ok(request)
}
