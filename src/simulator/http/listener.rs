//! The listener: plain HTTP/1.1 for the CLI and SDKs of this machine, and `/metrics`.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::metrics::CONTENT_TYPE as METRICS_TYPE;
use crate::simulator::api::authenticate::identify;
use crate::simulator::api::dispatch;
use crate::simulator::callers::caller::Call;
use crate::simulator::cloudwatch::Protocol;
use crate::simulator::crypto::random;
use crate::simulator::http::{cloudwatch, records};
use crate::simulator::proxy::client_certificate::ClientCertificateKind;
use crate::simulator::wire::exception::{Exception, Kind};
use crate::simulator::world::World;
use crate::sync::{Scope, contained_future};

/// The longest body that is read: far beyond any of this API.
const MAX_BODY: usize = 1 << 20;

/// The path of the client certificate that is presented to proxies.
const CLIENT_CERTIFICATE: &str = "/client-certificate";

/// The longest name of a client certificate that is read.
const MAX_NAME: usize = 256;

/// How long a request's headers may take.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// How long requests may go on after the signal to stop.
const GRACE: Duration = Duration::from_secs(5);

/// The pause after an accept that failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The answer to requests for nothing that is here.
const NOT_THERE: &str = "KMS is at POST /, metrics at GET /metrics, the client certificate at GET and PUT /client-certificate\n";

/// What answers are.
const JSON: &str = "application/x-amz-json-1.1";

/// Serves until `stop` resolves, then finishes what runs.
pub(in crate::simulator) async fn serve(
    world: Arc<World>,
    listener: TcpListener,
    stop: impl Future<Output = ()>,
) {
    let (stopping, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            // What has ended is let go.
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let connection = connection(Arc::clone(&world), stream, stopped.clone());
                    connections.spawn(contained_future(Scope::Connection, connection));
                }
                Err(_) => sleep(ACCEPT_PAUSE).await,
            },
        }
    }
    drop(listener);
    stopping.send_replace(true);
    drop(
        timeout(GRACE, async {
            while connections.join_next().await.is_some() {}
        })
        .await,
    );
}

async fn connection(world: Arc<World>, stream: TcpStream, mut stopped: watch::Receiver<bool>) {
    // A connection without it is slower, and works.
    drop(stream.set_nodelay(true));
    let peer = stream.peer_addr().ok();
    let service = service_fn(move |mut request: Request<Incoming>| {
        peer.map(|peer| request.extensions_mut().insert(peer));
        let world = Arc::clone(&world);
        async move { Ok::<_, Infallible>(respond(&world, request).await) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(serving);
    // However it ends, it has ended.
    tokio::select! {
        ended = &mut serving => return drop(ended),
        _ = stopped.changed() => serving.as_mut().graceful_shutdown(),
    }
    drop(serving.await);
}

async fn respond(world: &Arc<World>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => metrics(world),
        (&Method::GET, CLIENT_CERTIFICATE) => {
            let kind = world.identities.clients().kind();
            plain(StatusCode::OK, format!("{kind}\n").into())
        }
        (&Method::PUT, CLIENT_CERTIFICATE) => present(world, request).await,
        (&Method::POST, _) => post(world, request).await,
        _ => plain(StatusCode::NOT_FOUND, NOT_THERE.into()),
    }
}

/// Changes which client certificate is presented to proxies.
async fn present(world: &World, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let body = Limited::new(request.into_body(), MAX_NAME).collect().await;
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    let kind = String::from_utf8_lossy(&body).trim().parse();
    let kind: ClientCertificateKind = match kind {
        Ok(kind) => kind,
        Err(error) => return plain(StatusCode::BAD_REQUEST, format!("{error}\n").into()),
    };
    if let Err(error) = world.identities.clients().present(kind) {
        return plain(StatusCode::CONFLICT, format!("{error}\n").into());
    }
    let told = json!({ "client_certificate": kind.as_str() });
    world.events.tell("client_certificate", told, || {
        format!("new connections present the client certificate {kind}")
    });
    plain(StatusCode::OK, format!("{kind}\n").into())
}

fn metrics(world: &World) -> Response<Full<Bytes>> {
    match world.counters.render() {
        Err(error) => plain(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("{error}\n").into(),
        ),
        Ok(text) => {
            let mut response = plain(StatusCode::OK, text.into());
            set(&mut response, "content-type", METRICS_TYPE);
            response
        }
    }
}

async fn post(world: &Arc<World>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    match Protocol::of(&head) {
        Some(protocol) => metrics_of(world, &head, body, protocol).await,
        None if head.uri.path() == "/" => kms(world, head, body).await,
        None => plain(StatusCode::NOT_FOUND, NOT_THERE.into()),
    }
}

/// CloudWatch.
async fn metrics_of(
    world: &World,
    head: &Parts,
    body: Incoming,
    protocol: Protocol,
) -> Response<Full<Bytes>> {
    let answer = match read(body).await {
        Ok(body) => cloudwatch::answer(world, head, &body),
        Err(exception) => Err(exception),
    };
    let status = answer
        .as_ref()
        .map_or_else(|error| error.kind.status(), |_| 200);
    let mut response = Response::new(Full::new(protocol.body(&answer).into()));
    // Both are statuses.
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    set(&mut response, "content-type", protocol.content_type());
    if protocol == Protocol::Cbor {
        set(&mut response, "smithy-protocol", "rpc-v2-cbor");
    }
    set(
        &mut response,
        "x-amzn-requestid",
        &random::uuid().unwrap_or_default(),
    );
    response
}

async fn kms(world: &Arc<World>, head: Parts, body: Incoming) -> Response<Full<Bytes>> {
    let request_id = random::uuid().unwrap_or_default();
    let answer = answer(world, head, body, &request_id).await;
    let (status, body) = match answer {
        Ok(body) => (200, body),
        Err(exception) => (exception.kind.status(), exception.body()),
    };
    let mut response = Response::new(Full::new(body.into()));
    // Both are statuses.
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    set(&mut response, "content-type", JSON);
    set(&mut response, "x-amzn-requestid", &request_id);
    response
}

async fn answer(
    world: &Arc<World>,
    head: Parts,
    body: Incoming,
    request_id: &str,
) -> Result<Vec<u8>, Exception> {
    let body = read(body).await?;
    let caller = identify(world, &head, &body)?;
    let target = head
        .headers
        .get("x-amz-target")
        .and_then(|value| value.to_str().ok());
    let operation = dispatch::operation(target)?;
    let request_id = request_id.to_owned();
    let call = Call { caller, request_id };
    let answer = dispatch::answer(world, &call, operation, &body).await;
    let request = records::Request {
        head: &head,
        operation,
        body: &body,
    };
    records::finished(world, &call, &request, &answer);
    let answer = answer?;
    // Answers are maps of texts, numbers and lists: they serialize.
    Ok(serde_json::to_vec(&answer).unwrap_or_default())
}

async fn read(body: Incoming) -> Result<Bytes, Exception> {
    let body = Limited::new(body, MAX_BODY).collect().await;
    let unread = |_| Kind::Serialization.because("The body is longer than 1 MiB, or was cut off.");
    Ok(body.map_err(unread)?.to_bytes())
}

fn plain(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    set(&mut response, "content-type", "text/plain; charset=utf-8");
    response
}

fn set(response: &mut Response<Full<Bytes>>, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
