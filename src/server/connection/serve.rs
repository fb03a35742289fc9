//! Serves one connection, from its TLS handshake to its end.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::CONNECTION;
use http::{HeaderValue, Request, Version};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_rustls::server::TlsStream;
use tower::Service;

use super::activity::Activity;
use super::drive::{ConnectionContext, UNVERIFIED_GRACE, drive};
use super::executor::StreamExecutor;
use super::guard::{Guarded, MAX_HEAD, Throttle};
use super::handshake::Handshakes;
use crate::connections::{
    ClientCertificate, ClientStream, Connections, End, FirstByte, ProxyHeaders, Slot,
};
use crate::proxy_protocol::Proxied;
use crate::server::live::Live;
use crate::server::received::Received;
use crate::server::request::peer::Peer;
use crate::server::response::Response;
use crate::server::tls::client_auth::names;
use crate::server::unverified::{ClientClass, RateLimit};

/// The maximum of concurrent HTTP/2 requests on one connection.
const MAX_STREAMS: u32 = 256;

/// The time in which an HTTP/1 connection that is idle when a drain begins may still send a request. The response has `Connection: close`. Closing
/// at once would race with a request that the client is sending.
const LINGER: Duration = Duration::from_secs(1);

/// The state that all connections share.
#[derive(Clone)]
pub(in crate::server) struct ServerState<S> {
    pub stack: S,
    pub live: Live,
    pub connections: Connections,
    pub handshakes: Handshakes,
    pub rate_limit: RateLimit,
    /// Turns true when the server drains.
    pub draining: watch::Receiver<bool>,
}

/// A connection after its handshake.
struct Established {
    stream: TlsStream<ClientStream>,
    slot: Slot,
    activity: Arc<Activity>,
    peer: Arc<Peer>,
}

impl<S> ServerState<S> {
    /// Receives the PROXY header, if the listener requires one, and performs the TLS handshake. Also returns the client that the header names, if any.
    async fn accept(
        &self,
        mut socket: TcpStream,
        headers: Option<&ProxyHeaders>,
        slot: &Slot,
        address: SocketAddr,
    ) -> Result<(TlsStream<ClientStream>, ClientCertificate, Option<Proxied>), End> {
        let client = match headers {
            Some(headers) => {
                let first = (FirstByte::Tls, self.live.now().limits.header_timeout);
                headers.receive(&mut socket, slot, first).await?
            }
            None => None,
        };
        let stream = slot.stream(socket);
        let (stream, certificate) = self.handshakes.accept(stream, slot, address).await?;
        Ok((stream, certificate, client))
    }
}

/// Serves `socket` to its end.
pub(in crate::server) async fn serve<S>(
    shared: ServerState<S>,
    (socket, address): (TcpStream, SocketAddr),
    headers: Option<ProxyHeaders>,
    slot: Slot,
) where
    S: Service<Received<Incoming>, Response = Response, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
{
    // Otherwise a response waits for the client's acknowledgement of the previous response.
    drop(socket.set_nodelay(true));
    let (stream, certificate, client) = tokio::select! {
        accepted = shared.accept(socket, headers.as_ref(), &slot, address) => match accepted {
            Ok(accepted) => accepted,
            Err(end) => return slot.finish(end),
        },
        () = slot.displaced() => return,
        () = end_of_grace(shared.draining.clone()) => return slot.finish(End::Drain),
    };
    slot.establish();
    let session = stream.get_ref().1;
    let is_http1 = session.alpn_protocol() != Some(b"h2");
    let max_age = shared.live.now().limits.max_connection_age;
    let established = Established {
        activity: Activity::new(slot.usage(), is_http1, max_age),
        peer: Arc::new(Peer {
            address,
            client,
            source: slot.source().clone(),
            certificate,
            subject: verified_subject(certificate, session),
            connection: slot.handle(),
        }),
        stream,
        slot,
    };
    match is_http1 {
        true => serve_http1(shared, established).await,
        false => serve_http2(shared, established).await,
    }
}

/// Returns the subject of the client's certificate if it is verified. Readers of the audit trail rely on it.
fn verified_subject(
    certificate: ClientCertificate,
    session: &rustls::ServerConnection,
) -> Option<Arc<str>> {
    let leaf = session.peer_certificates()?.first()?;
    let is_verified = certificate == ClientCertificate::Verified;
    is_verified.then(|| names::subject(leaf)).flatten()
}

/// Resolves when a drain has begun and the time for handshakes has passed.
async fn end_of_grace(mut draining: watch::Receiver<bool>) {
    // A closed channel means that the server has ended, which is handled like a drain.
    drop(draining.wait_for(|is_draining| *is_draining).await);
    sleep(UNVERIFIED_GRACE).await;
}

async fn serve_http1<S>(shared: ServerState<S>, established: Established)
where
    S: Service<Received<Incoming>, Response = Response, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
{
    let Established {
        stream,
        slot,
        activity,
        peer,
    } = established;
    let io = TokioIo::new(Guarded::new(stream, Arc::clone(&activity), None));
    let service = service_fn(|request| respond(&shared, &activity, request, &peer));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_buf_size(MAX_HEAD)
        .serve_connection(io, service);
    let end = drive(connection, context(&shared, &slot, &activity, LINGER)).await;
    slot.finish(end);
}

async fn serve_http2<S>(shared: ServerState<S>, established: Established)
where
    S: Service<Received<Incoming>, Response = Response, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
{
    let Established {
        stream,
        slot,
        activity,
        peer,
    } = established;
    let connections = shared.live.now().limits.max_unverified_per_source;
    let throttle = Throttle::new(shared.rate_limit.clone(), Arc::clone(&peer), connections);
    let io = TokioIo::new(Guarded::new(stream, Arc::clone(&activity), Some(throttle)));
    let (service_shared, service_activity) = (shared.clone(), Arc::clone(&activity));
    let service =
        service_fn(move |request| respond(&service_shared, &service_activity, request, &peer));
    let connection = http2::Builder::new(StreamExecutor)
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEAD as u32)
        .serve_connection(io, service);
    // GOAWAY names the last request that gets a response, so no time for further requests is needed.
    let end = drive(
        connection,
        context(&shared, &slot, &activity, Duration::ZERO),
    )
    .await;
    slot.finish(end);
}

fn context<'a, S>(
    shared: &ServerState<S>,
    slot: &'a Slot,
    activity: &'a Activity,
    linger: Duration,
) -> ConnectionContext<'a> {
    ConnectionContext {
        slot,
        activity,
        limits: shared.live.now().limits,
        draining: shared.draining.clone(),
        linger,
    }
}

/// Passes a request to the layers.
fn respond<S>(
    shared: &ServerState<S>,
    activity: &Arc<Activity>,
    request: Request<Incoming>,
    peer: &Arc<Peer>,
) -> impl Future<Output = Result<Response, Infallible>> + Send + 'static + use<S>
where
    S: Service<Received<Incoming>, Response = Response, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    let in_progress = activity.request_begins(request.body().size_hint().exact());
    let is_http1 = request.version() < Version::HTTP_2;
    // HTTP/2 sends GOAWAY now, and still answers this request.
    if !is_http1 && activity.is_too_old() {
        activity.announce_end_of_age();
    }
    let serving = Arc::clone(&shared.live.now());
    let connections = serving.limits.max_unverified_per_source;
    let request = Received::new(request, Arc::clone(peer), serving);
    let (peer, record) = (Arc::clone(peer), request.record.clone());
    let responding = shared.stack.clone().call(request);
    let (draining, activity) = (shared.draining.clone(), Arc::clone(activity));
    let rate_limit = shared.rate_limit.clone();
    async move {
        let mut response = responding.await?;
        // On HTTP/2 the client could send more requests, and each delayed response takes memory. There the guard's throttle counts the requests.
        if is_http1 && !record.facts().is_verified() {
            delay_rejection(&rate_limit, &peer, connections).await;
        }
        let last = match *draining.borrow() {
            true => Some(End::Drain),
            false => activity.is_too_old().then_some(End::MaxAge),
        };
        if let Some(end) = last.filter(|_| is_http1) {
            activity.ends_by(end);
            response
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
        drop(in_progress);
        Ok(response)
    }
}

/// Delays the response to an unverified request if its source has sent too many. The request is recorded before the delay, even if its client
/// disconnects during the delay.
async fn delay_rejection(rate_limit: &RateLimit, peer: &Peer, connections: usize) {
    let ClientClass::Unknown(source) = peer.client_class() else {
        return;
    };
    let wait = rate_limit.wait(&source, connections, Instant::now());
    if !wait.is_zero() {
        sleep(wait).await;
    }
}
