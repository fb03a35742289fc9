//! One connection, from its TLS handshake to its end.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::CONNECTION;
use http::{HeaderValue, Request, Version};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tower::Service;

use super::Response;
use super::client_auth;
use super::guard::{Activity, Guarded, Judgement};
use super::live::Live;
use super::metrics::ServerMetrics;
use super::record::Peer;
use super::settings::Limits;
use crate::connections::Source;

/// The longest buffer for a request's headers, in bytes.
const MAX_HEAD: usize = 64 * 1024;

/// HTTP/2 requests at a time on one connection.
const MAX_STREAMS: u32 = 256;

/// How long an HTTP/1 connection that is idle when a drain begins may still bring a request, which is answered with
/// `Connection: close`: closing at once would race with a request that is on its way.
const LINGER: Duration = Duration::from_secs(1);

/// What all connections share.
#[derive(Clone)]
pub(super) struct Shared<S> {
    pub stack: S,
    pub live: Live,
    pub metrics: ServerMetrics,
    /// Turns true when the server drains.
    pub draining: watch::Receiver<bool>,
}

/// Serves `stream` to its end.
pub(super) async fn serve<S>(shared: Shared<S>, stream: TcpStream, peer: SocketAddr)
where
    S: Service<Request<Incoming>, Response = Response, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
{
    // Without it an answer waits for the peer's acknowledgement of the one before.
    drop(stream.set_nodelay(true));
    let (acceptor, patience) = handshake_terms(&shared.live);
    let stream = match timeout(patience, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            shared.metrics.count_handshake("failed", None);
            return log_failed_handshake(peer, &error);
        }
        Err(_) => {
            shared.metrics.count_handshake("timeout", None);
            return tracing::warn!(%peer, "TLS handshake took too long");
        }
    };
    let session = stream.get_ref().1;
    shared
        .metrics
        .count_handshake("ok", session.protocol_version());
    let is_http2 = session.alpn_protocol() == Some(b"h2");
    let subject = client_auth::subject(session.peer_certificates());
    let peer = Peer {
        address: peer,
        source: Source::from(peer),
        subject,
    };
    match is_http2 {
        true => serve_http2(shared, stream, peer).await,
        false => serve_http1(shared, stream, peer).await,
    }
}

/// Certificate and patience as they are now: a new certificate is for new connections.
fn handshake_terms(live: &Live) -> (TlsAcceptor, Duration) {
    let serving = live.now();
    let acceptor = TlsAcceptor::from(Arc::clone(&serving.tls.config));
    (acceptor, serving.limits.header_timeout)
}

/// A peer that only opens and closes connections is a load balancer's health check as a rule: not worth a line each.
fn log_failed_handshake(peer: SocketAddr, error: &io::Error) {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
            tracing::debug!(%peer, %error, "the peer left during the TLS handshake");
        }
        _ => tracing::warn!(%peer, %error, "TLS handshake failed"),
    }
}

async fn serve_http1<S>(shared: Shared<S>, stream: TlsStream<TcpStream>, peer: Peer)
where
    S: Service<Request<Incoming>, Response = Response, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
{
    let activity = Activity::new();
    let io = TokioIo::new(Guarded::new(stream, Arc::clone(&activity), true));
    let service = service_fn(|request| answer(&shared, &activity, request, peer.clone()));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_buf_size(MAX_HEAD)
        .serve_connection(io, service);
    drive(connection, &shared, &activity, LINGER).await;
}

async fn serve_http2<S>(shared: Shared<S>, stream: TlsStream<TcpStream>, peer: Peer)
where
    S: Service<Request<Incoming>, Response = Response, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
{
    let activity = Activity::new();
    let io = TokioIo::new(Guarded::new(stream, Arc::clone(&activity), false));
    let (for_service, activity_of_service) = (shared.clone(), Arc::clone(&activity));
    let service = service_fn(move |request| {
        answer(&for_service, &activity_of_service, request, peer.clone())
    });
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEAD as u32)
        .serve_connection(io, service);
    // GOAWAY names the last request that will be answered: nothing to linger for.
    drive(connection, &shared, &activity, Duration::ZERO).await;
}

/// Sends a request through the layers.
fn answer<S>(
    shared: &Shared<S>,
    activity: &Arc<Activity>,
    mut request: Request<Incoming>,
    peer: Peer,
) -> impl Future<Output = Result<Response, Infallible>> + Send + 'static + use<S>
where
    S: Service<Request<Incoming>, Response = Response, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    let busy = activity.request_begins();
    request.extensions_mut().insert(peer);
    let is_http1 = request.version() < Version::HTTP_2;
    let answering = shared.stack.clone().call(request);
    let draining = shared.draining.clone();
    async move {
        let mut response = answering.await?;
        if is_http1 && *draining.borrow() {
            response
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
        drop(busy);
        Ok(response)
    }
}

/// A hyper connection, of either version.
trait Graceful: Future {
    /// Finishes what runs, takes nothing new.
    fn shut_down(self: Pin<&mut Self>);
}

impl<S, B> Graceful for http1::Connection<TokioIo<Guarded<TlsStream<TcpStream>>>, S>
where
    S: hyper::service::HttpService<Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: hyper::body::Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn shut_down(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<S, B> Graceful for http2::Connection<TokioIo<Guarded<TlsStream<TcpStream>>>, S, TokioExecutor>
where
    S: hyper::service::HttpService<Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    S::Future: Send + 'static,
    B: hyper::body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn shut_down(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// Drives a connection under its timeouts, and through a drain.
async fn drive<C, S>(connection: C, shared: &Shared<S>, activity: &Activity, linger: Duration)
where
    C: Graceful,
{
    let mut connection = pin!(connection);
    let mut draining = shared.draining.clone();
    let Limits {
        header_timeout,
        idle_timeout,
        ..
    } = shared.live.now().limits;
    let tick = (header_timeout.min(idle_timeout) / 4).max(Duration::from_millis(10));
    // When a graceful end begins (set by a drain) and when patience with it is over.
    let (mut ends_at, mut gone_at): (Option<Instant>, Option<Instant>) = (None, None);
    loop {
        let pause = ends_at.map_or(tick, |at| {
            tick.min(at.saturating_duration_since(Instant::now()))
        });
        tokio::select! {
            // How a connection ends is the peer's business; every request has its own line in the log.
            _ = &mut connection => return,
            () = sleep(pause) => {}
            changed = draining.changed(), if ends_at.is_none() && gone_at.is_none() => {
                // A closed channel means that the server is gone: the same as a drain.
                drop(changed);
                ends_at = Some(Instant::now() + linger);
            }
        }
        let now = Instant::now();
        let is_over = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let judgement = activity.judge(header_timeout, idle_timeout);
        if judgement == Judgement::HeadTooSlow || is_over(gone_at) {
            return;
        }
        if gone_at.is_none() && (judgement == Judgement::Idle || is_over(ends_at)) {
            connection.as_mut().shut_down();
            // A drain has a grace period of its own; an idle peer that does not take its answer has this.
            gone_at = (judgement == Judgement::Idle).then(|| now + header_timeout);
            if gone_at.is_none() {
                return finish(connection).await;
            }
        }
    }
}

/// Waits for a connection that is shutting down; the server's grace period bounds it.
async fn finish<C: Future>(connection: Pin<&mut C>) {
    connection.await;
}
