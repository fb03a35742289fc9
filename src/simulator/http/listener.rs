//! The HTTP/1.1 listener, without TLS, for the CLI and SDKs on this machine. It also serves `/metrics`.

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
use crate::simulator::callers::caller::KmsCall;
use crate::simulator::cloudwatch::CloudWatchProtocol;
use crate::simulator::crypto::random;
use crate::simulator::http::{cloudwatch, records};
use crate::simulator::kms::Kms;
use crate::simulator::proxy::client_certificate::ClientCertificateKind;
use crate::simulator::wire::exception::{Exception, ExceptionKind};
use crate::sync::{Scope, contained_future};

/// The maximum length of a request body, in bytes. Every request of the KMS API is much shorter.
const MAX_BODY: usize = 1 << 20;

/// The path for reading and changing the client certificate kind.
const CLIENT_CERTIFICATE: &str = "/client-certificate";

/// The maximum length of the body of a change of the client certificate, in bytes.
const MAX_NAME: usize = 256;

/// The time limit for the headers of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// The time limit for running requests after the signal to stop.
const GRACE: Duration = Duration::from_secs(5);

/// The pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The response to a request for another path.
const NOT_THERE: &str = "Not found. Use POST / for KMS, GET /metrics for metrics, and GET or PUT /client-certificate for the client certificate.\n";

/// The content type of responses.
const JSON: &str = "application/x-amz-json-1.1";

/// Serves until `stop` resolves, then waits for running requests, for at most [`GRACE`].
pub(in crate::simulator) async fn serve(
    kms: Arc<Kms>,
    listener: TcpListener,
    stop: impl Future<Output = ()>,
) {
    let (stopping, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let connection = connection(Arc::clone(&kms), stream, stopped.clone());
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

async fn connection(kms: Arc<Kms>, stream: TcpStream, mut stopped: watch::Receiver<bool>) {
    // The option is an optimization only.
    drop(stream.set_nodelay(true));
    let peer = stream.peer_addr().ok();
    let service = service_fn(move |mut request: Request<Incoming>| {
        peer.map(|peer| request.extensions_mut().insert(peer));
        let kms = Arc::clone(&kms);
        async move { Ok::<_, Infallible>(respond(&kms, request).await) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(serving);
    // Errors of a connection need no handling.
    tokio::select! {
        ended = &mut serving => return drop(ended),
        _ = stopped.changed() => serving.as_mut().graceful_shutdown(),
    }
    drop(serving.await);
}

async fn respond(kms: &Arc<Kms>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => respond_metrics(kms),
        (&Method::GET, CLIENT_CERTIFICATE) => {
            let kind = kms.tls.clients().kind();
            plain(StatusCode::OK, format!("{kind}\n").into())
        }
        (&Method::PUT, CLIENT_CERTIFICATE) => change_client_certificate(kms, request).await,
        (&Method::POST, _) => respond_post(kms, request).await,
        _ => plain(StatusCode::NOT_FOUND, NOT_THERE.into()),
    }
}

/// Changes the kind of client certificate for proxies.
async fn change_client_certificate(kms: &Kms, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let body = Limited::new(request.into_body(), MAX_NAME).collect().await;
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    let kind = String::from_utf8_lossy(&body).trim().parse();
    let kind: ClientCertificateKind = match kind {
        Ok(kind) => kind,
        Err(error) => return plain(StatusCode::BAD_REQUEST, format!("{error}\n").into()),
    };
    if let Err(error) = kms.tls.clients().present(kind) {
        return plain(StatusCode::CONFLICT, format!("{error}\n").into());
    }
    let members = json!({ "client_certificate": kind.as_str() });
    kms.events.emit("client_certificate", members, || {
        format!("new connections present the client certificate {kind}")
    });
    plain(StatusCode::OK, format!("{kind}\n").into())
}

fn respond_metrics(kms: &Kms) -> Response<Full<Bytes>> {
    match kms.metrics.render() {
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

async fn respond_post(kms: &Arc<Kms>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    match CloudWatchProtocol::of(&head) {
        Some(protocol) => respond_cloudwatch(kms, &head, body, protocol).await,
        None if head.uri.path() == "/" => respond_kms(kms, head, body).await,
        None => plain(StatusCode::NOT_FOUND, NOT_THERE.into()),
    }
}

/// Responds to a request for CloudWatch.
async fn respond_cloudwatch(
    kms: &Kms,
    head: &Parts,
    body: Incoming,
    protocol: CloudWatchProtocol,
) -> Response<Full<Bytes>> {
    let answer = match read(body).await {
        Ok(body) => cloudwatch::answer(kms, head, &body),
        Err(exception) => Err(exception),
    };
    let status = answer
        .as_ref()
        .map_or_else(|error| error.kind.status(), |_| 200);
    let mut response = Response::new(Full::new(protocol.body(&answer).into()));
    // 200, 400 and 500 are valid statuses.
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    set(&mut response, "content-type", protocol.content_type());
    if protocol == CloudWatchProtocol::Cbor {
        set(&mut response, "smithy-protocol", "rpc-v2-cbor");
    }
    set(
        &mut response,
        "x-amzn-requestid",
        &random::uuid().unwrap_or_default(),
    );
    response
}

async fn respond_kms(kms: &Arc<Kms>, head: Parts, body: Incoming) -> Response<Full<Bytes>> {
    let request_id = random::uuid().unwrap_or_default();
    let answer = answer(kms, head, body, &request_id).await;
    let (status, body) = match answer {
        Ok(body) => (200, body),
        Err(exception) => (exception.kind.status(), exception.body()),
    };
    let mut response = Response::new(Full::new(body.into()));
    // 200, 400 and 500 are valid statuses.
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    set(&mut response, "content-type", JSON);
    set(&mut response, "x-amzn-requestid", &request_id);
    response
}

async fn answer(
    kms: &Arc<Kms>,
    head: Parts,
    body: Incoming,
    request_id: &str,
) -> Result<Vec<u8>, Exception> {
    let body = read(body).await?;
    let caller = identify(kms, &head, &body)?;
    let target = head
        .headers
        .get("x-amz-target")
        .and_then(|value| value.to_str().ok());
    let operation = dispatch::operation(target)?;
    let request_id = request_id.to_owned();
    let call = KmsCall { caller, request_id };
    let answer = dispatch::answer(kms, &call, operation, &body).await;
    let request = records::KmsRequest {
        head: &head,
        operation,
        body: &body,
    };
    records::record(kms, &call, &request, &answer);
    let answer = answer?;
    // A JSON value always serializes.
    Ok(serde_json::to_vec(&answer).unwrap_or_default())
}

async fn read(body: Incoming) -> Result<Bytes, Exception> {
    let body = Limited::new(body, MAX_BODY).collect().await;
    let unread = |_| {
        ExceptionKind::Serialization.with_message("The body is longer than 1 MiB, or was cut off.")
    };
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
