//! One connection to a proxy, and the calls on it.

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

/// The longest answer that is read: far beyond any of this API.
const MAX_ANSWER: usize = 1 << 20;

/// How long the last words of a peer may take once its connection is known to have ended.
const END_OF_CONNECTION: Duration = Duration::from_secs(1);

/// Who calls which proxy, and how.
#[derive(Debug)]
pub struct Caller {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its DNS name: of the certificate and in the Host field.
    pub host: String,
    /// The port in the Host field, which need not be the one that it listens on: KMS knows 443 only.
    pub named_port: u16,
    /// The `XksProxyUriPath`: prefix and `/kms/xks/v1`.
    pub path: String,
    /// Signs each request.
    pub signer: Signer,
    /// TLS settings.
    pub tls: TlsClient,
}

/// What a handshake agreed on, and how long it took.
#[derive(Clone, Debug)]
pub struct Handshake {
    /// From the SYN until TCP was connected.
    pub tcp: Duration,
    /// From then until TLS was.
    pub tls: Duration,
    /// `TLSv1_2` or `TLSv1_3`.
    pub version: String,
    /// The suite by its name in the IANA's registry.
    pub suite: String,
    /// The certificates that were presented, the server's own first, as DER.
    pub chain: Vec<Vec<u8>>,
}

/// An open connection.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// Ends with the connection, and knows why.
    driver: JoinHandle<Result<(), hyper::Error>>,
    handshake: Handshake,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Its header fields.
    pub headers: HeaderMap,
    /// The body, which may hold a plaintext.
    pub body: SecretBytes,
    /// From before the request was signed until the whole body was there.
    pub took: Duration,
}

impl Caller {
    /// The value of the Host field: the port is left out where it is HTTPS's own.
    pub fn authority(&self) -> String {
        match self.named_port {
            443 => self.host.clone(),
            port => format!("{}:{port}", self.host),
        }
    }

    /// Opens a TCP connection. It waits as long as the system does: give it a timeout.
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

    /// Opens a connection, TLS and all.
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
    /// What the handshake agreed on.
    pub fn handshake(&self) -> &Handshake {
        &self.handshake
    }

    /// Whether another call can be made.
    pub fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Signs and sends a body to `operation`, which is what follows the `XksProxyUriPath`, and waits for the whole answer.
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
        // The connection may still be reading the end of the answer before.
        self.sender.ready().await?;
        self.sender.send_request(request).await
    }

    /// What a peer says when it ends a connection is told to whoever drives it; the caller may only learn that it is closed.
    async fn cause_of(&mut self, error: hyper::Error) -> hyper::Error {
        // A cancelled request has a cause, but not always that of the connection.
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
    /// A call that nobody waits for any longer takes its connection with it.
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Why an answer is not a good one: the API's error name, or what came instead. None when it is.
pub fn refusal(status: u16, body: &[u8]) -> Option<String> {
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

/// What a stranger calls an error is shown on terminals and counted: a short word only.
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
