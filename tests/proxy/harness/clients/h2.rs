//! HTTP/2 with hyper's client: several requests on one connection, bodies in parts, and requests that curl would not send.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ALL_VERSIONS;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use crate::harness::Proxy;
use crate::harness::http::{Request, tcp, tcp_from};
use crate::harness::pki::tls_client;
use crate::harness::response::Response;

/// An HTTP/2 connection.
pub struct Http2 {
    runtime: Runtime,
    sender: SendRequest<Fed>,
}

/// A request without a response so far. Its body ends when the feed is dropped.
pub struct Pending {
    /// The sender of the body, one part at a time.
    pub feed: Sender<Bytes>,
    answer: JoinHandle<Option<Response>>,
}

/// A body from a channel.
pub struct Fed(Receiver<Bytes>);

impl Http2 {
    /// Opens a connection.
    pub fn open(proxy: &Proxy) -> Self {
        Self::over(proxy, tcp(proxy.server).unwrap())
    }

    /// Opens a connection from this loopback address, which is a different source for the proxy.
    pub fn open_from(source: Ipv4Addr, proxy: &Proxy) -> Self {
        Self::over(proxy, tcp_from(source, proxy.server).unwrap())
    }

    fn over(proxy: &Proxy, socket: std::net::TcpStream) -> Self {
        let runtime = Runtime::new().unwrap();
        let config = tls_client(proxy.setup.authority.der(), ALL_VERSIONS, None, &["h2"]);
        socket.set_nonblocking(true).unwrap();
        let sender = runtime.block_on(async {
            let socket = TcpStream::from_std(socket).unwrap();
            let name = ServerName::try_from("localhost").unwrap();
            let tls = TlsConnector::from(config)
                .connect(name, socket)
                .await
                .unwrap();
            let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(tls))
                .await
                .unwrap();
            tokio::spawn(connection);
            sender
        });
        Self { runtime, sender }
    }

    /// Sends a request and its body; `None` if the stream was reset.
    pub fn exchange(&self, request: &Request) -> Option<Response> {
        let pending = self.start(request);
        pending
            .feed
            .try_send(Bytes::from(request.body.clone()))
            .unwrap();
        self.finish(pending)
    }

    /// Sends the head of a request. Its field `host` is the authority, as in HTTP/2.
    pub fn start(&self, request: &Request) -> Pending {
        let (feed, fed) = channel(1);
        let uri = format!("https://{}{}", request.value("host"), request.target);
        let mut head = hyper::Request::builder()
            .method(request.method.as_str())
            .uri(uri);
        for (name, value) in request.headers.iter().filter(|(name, _)| name != "host") {
            head = head.header(name, value);
        }
        let answer = self
            .sender
            .clone()
            .send_request(head.body(Fed(fed)).unwrap());
        let answer = self
            .runtime
            .spawn(async move { collected(answer.await.ok()?).await });
        Pending { feed, answer }
    }

    /// Sends one more part; returns false if the proxy accepts no more.
    pub fn feed(&self, pending: &Pending, part: Bytes) -> bool {
        self.runtime.block_on(pending.feed.send(part)).is_ok()
    }

    /// Ends the body and waits for the response.
    pub fn finish(&self, pending: Pending) -> Option<Response> {
        drop(pending.feed);
        self.runtime.block_on(pending.answer).unwrap()
    }

    /// Waits for the response while the body is still open.
    pub fn answer(&self, pending: Pending) -> Option<Response> {
        let answer = self.runtime.block_on(pending.answer).unwrap();
        drop(pending.feed);
        answer
    }

    /// Resets the stream after this time, unless the response arrives before.
    pub fn reset(&self, pending: Pending, after: Duration) {
        drop(pending.feed);
        let mut answer = pending.answer;
        self.runtime.block_on(async {
            drop(tokio::time::timeout(after, &mut answer).await);
        });
        answer.abort();
    }

    /// Returns whether the proxy accepts more requests on this connection.
    pub fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }
}

impl Body for Fed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let part = ready!(self.0.poll_recv(context));
        Poll::Ready(part.map(|part| Ok(Frame::data(part))))
    }
}

async fn collected(answer: hyper::Response<Incoming>) -> Option<Response> {
    let text = |value: &hyper::header::HeaderValue| value.to_str().unwrap().to_owned();
    let headers = answer.headers().iter();
    Some(Response {
        status: answer.status().as_u16(),
        headers: headers
            .map(|(name, value)| (name.to_string(), text(value)))
            .collect(),
        body: answer.into_body().collect().await.ok()?.to_bytes().to_vec(),
    })
}
