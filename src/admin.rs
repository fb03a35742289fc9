//! The admin listener, plain HTTP, for health checks and metrics. It serves no secrets and accepts no commands.
//!
//! - `/livez`: 200 while the process can respond.
//! - `/readyz`: 200 while the proxy can serve requests, otherwise 503 with the reason. Load balancers use it as their health check.
//! - `/metrics`: metrics in Prometheus' text format.
//!
//! # Invariants
//! - Other connections do not block health checks: at the limit, a new connection displaces the least advanced one ([`LIMITS`]).
//! - Rendering metrics uses a bounded share of the CPU at any request rate (see `render_limit`).

mod render_limit;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::{interval, sleep, timeout};

use crate::connections::{
    ClientStream, Connections, End, FirstByte, PERIOD, PoolLimits, ProxyHeaders, Slot,
};
use crate::listen::{Accepted, ListenAddress, Listeners};
use crate::metrics::{CONTENT_TYPE as METRICS_TYPE, Metrics};
use crate::sync::{Scope, isolated_task};
use render_limit::RenderLimit;

/// The limits of the admin listener's connections. A load balancer and a few scrapers need about ten connections. With the others, a new connection has
/// enough time for its request while 1,000 connections arrive per second. No connection is verified here.
pub const LIMITS: PoolLimits = PoolLimits {
    max_verified: 0,
    max_unverified: 256,
    max_unverified_per_source: 128,
};

/// The time for a request's headers; also the longest pause between requests.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// The maximum age of a connection: a client that never reads its response must not keep its slot.
const MAX_AGE: Duration = Duration::from_secs(300);

/// The pause after an accept that failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The `[admin]` table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminSettings {
    /// The addresses to listen on.
    pub listen: Vec<ListenAddress>,
}

/// Returns `Ok` if the proxy is ready, otherwise the reason why it is not.
pub type Readiness = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// The parts of the admin listener.
#[derive(Clone)]
pub struct AdminParts {
    /// The connections, with [`LIMITS`].
    pub connections: Connections,
    /// The reader of PROXY headers, for the listeners that require them.
    pub headers: ProxyHeaders,
    /// The metrics for `/metrics`.
    pub metrics: Metrics,
    /// The readiness for `/readyz`.
    pub readiness: Readiness,
    /// Is called before metrics are rendered, to update gauges that are not updated continuously.
    pub refresh: Arc<dyn Fn() + Send + Sync>,
}

/// The state that all requests share.
#[derive(Clone)]
struct AdminState {
    parts: AdminParts,
    render_limit: Arc<RenderLimit>,
}

/// The bound listeners.
pub struct Admin {
    shared: AdminState,
    listeners: Listeners,
}

impl Admin {
    /// Binds every address.
    ///
    /// # Errors
    /// Returns the error of the first address that cannot be bound; the text names the address.
    pub fn bind(settings: &AdminSettings, parts: AdminParts) -> io::Result<Self> {
        let listeners = Listeners::bind(&settings.listen)?;
        let render_limit = Arc::default();
        let shared = AdminState {
            parts,
            render_limit,
        };
        Ok(Self { shared, listeners })
    }

    /// Returns the bound addresses.
    ///
    /// # Errors
    /// Returns the error of a socket whose address cannot be read.
    pub fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.listeners.addresses()
    }

    /// Serves until it is dropped.
    pub async fn serve(self) {
        let mut periods = interval(PERIOD);
        loop {
            tokio::select! {
                accepted = self.listeners.accept() => match accepted {
                    Ok(accepted) => self.serve_in_task(accepted),
                    Err(error) => {
                        self.shared.parts.connections.note_accept_failure(&error);
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
                _ = periods.tick() => self.shared.parts.connections.report(),
            }
        }
    }

    fn serve_in_task(&self, accepted: Accepted) {
        let AdminParts {
            connections,
            headers,
            ..
        } = &self.shared.parts;
        let Accepted { socket, peer, .. } = accepted;
        let headers = accepted.requires_header.then(|| headers.clone());
        let slot = match &headers {
            Some(headers) => headers.admit(connections, peer),
            None => connections.admit(peer),
        };
        let Some(slot) = slot else {
            // A reset frees the connection in the kernel at once.
            return drop(socket.set_zero_linger());
        };
        let shared = self.shared.clone();
        isolated_task(Scope::Admin, async move {
            let serving = serve(shared, socket, headers, &slot);
            let end = tokio::select! {
                served = timeout(MAX_AGE, serving) => served.unwrap_or(End::MaxAge),
                () = slot.displaced() => return,
            };
            slot.finish(end);
        });
    }
}

/// Serves a connection, and returns the reason of its end.
async fn serve(
    shared: AdminState,
    mut socket: TcpStream,
    headers: Option<ProxyHeaders>,
    slot: &Slot,
) -> End {
    if let Some(headers) = headers {
        let first = (FirstByte::Http, HEADER_TIMEOUT);
        if let Err(end) = headers.receive(&mut socket, slot, first).await {
            return end;
        }
    }
    // Errors that the client causes are ignored.
    drop(serve_connection(shared, slot.stream(socket), slot).await);
    End::Closed
}

async fn serve_connection(
    shared: AdminState,
    stream: ClientStream,
    slot: &Slot,
) -> Result<(), hyper::Error> {
    let service = service_fn(|request: Request<Incoming>| {
        slot.establish();
        let shared = shared.clone();
        async move { Ok::<_, Infallible>(respond(&shared, &request).await) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

async fn respond<B>(shared: &AdminState, request: &Request<B>) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    if !matches!(path, "/livez" | "/readyz" | "/metrics") {
        return text(StatusCode::NOT_FOUND, "not found\n");
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET is allowed here\n");
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match path {
        "/livez" => text(StatusCode::OK, "live\n"),
        "/readyz" => match (shared.parts.readiness)() {
            Ok(()) => text(StatusCode::OK, "ready\n"),
            Err(reason) => text(
                StatusCode::SERVICE_UNAVAILABLE,
                format!("not ready: {reason}\n"),
            ),
        },
        _ => shared.render_limit.run(|| metrics(&shared.parts)).await,
    }
}

fn metrics(parts: &AdminParts) -> Response<Full<Bytes>> {
    (parts.refresh)();
    match parts.metrics.render() {
        Ok(rendered) => {
            let mut response = Response::new(Full::new(rendered.into()));
            let content_type = HeaderValue::from_static(METRICS_TYPE);
            response.headers_mut().insert(CONTENT_TYPE, content_type);
            response
        }
        Err(error) => {
            tracing::error!(%error, "metrics cannot be rendered");
            text(
                StatusCode::INTERNAL_SERVER_ERROR,
                "metrics cannot be rendered\n",
            )
        }
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connections::{ConnectionMetrics, Networks};

    async fn status(method: Method, path: &str, ready: bool) -> u16 {
        let metrics = Metrics::default();
        let declared = ConnectionMetrics::declare(&metrics).unwrap();
        let parts = AdminParts {
            connections: Connections::new("admin", LIMITS, &declared),
            headers: ProxyHeaders::declare(&metrics, Networks::default()).unwrap(),
            metrics,
            readiness: Arc::new(move || {
                if ready {
                    Ok(())
                } else {
                    Err("draining".into())
                }
            }),
            refresh: Arc::new(|| ()),
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .body(())
            .unwrap();
        let render_limit = Arc::default();
        let shared = AdminState {
            parts,
            render_limit,
        };
        respond(&shared, &request).await.status().as_u16()
    }

    #[tokio::test]
    async fn each_path_and_method_has_its_status() {
        for (path, ready, expected) in [
            ("/livez", false, 200),
            ("/readyz", true, 200),
            ("/readyz", false, 503),
            ("/metrics", false, 200),
            ("/", true, 404),
            ("/kms/xks/v1/health", true, 404),
        ] {
            assert_eq!(status(Method::GET, path, ready).await, expected, "{path}");
        }
        assert_eq!(status(Method::HEAD, "/livez", true).await, 200);
        assert_eq!(status(Method::POST, "/livez", true).await, 405);
    }
}
