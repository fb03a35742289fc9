//! The accept loop. It never waits for a free slot: it accepts a connection, then displaces another connection or rejects this one. So the kernel's
//! accept queue does not fill with unverified connections.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use hyper::body::Incoming;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tower::Service;

use super::serve::{self, ServerState};
use crate::connections::{Connections, ProxyHeaders};
use crate::server::received::Received;
use crate::server::response::Response;
use crate::sync::{Scope, isolated_task};

/// The pause after an accept that failed for lack of descriptors or memory. Retrying at once would use the CPU that other tasks need to free some.
const PAUSE_WITHOUT_RESOURCES: Duration = Duration::from_millis(100);

/// A bound address.
pub(in crate::server) struct Listener {
    pub socket: TcpListener,
    /// The reader of PROXY headers; `None` if the listener requires none.
    pub headers: Option<ProxyHeaders>,
}

/// A clone of this is held by every connection: when all clones are dropped, all connections have ended.
pub(in crate::server) type Alive = mpsc::Sender<Infallible>;

/// Accepts connections until the server drains, and then those that are already in the kernel's accept queue.
pub(in crate::server) async fn accept<S>(listener: Listener, shared: ServerState<S>, alive: Alive)
where
    S: Service<Received<Incoming>, Response = Response, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
{
    let mut draining = shared.draining.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.socket.accept() => accepted,
            _ = draining.changed() => break,
        };
        match accepted {
            Ok(accepted) => spawn(&shared, accepted, &listener.headers, &alive),
            Err(error) => pause_after(&error, &shared.connections).await,
        }
    }
    // Their clients are connected already: they are served, with `Connection: close`.
    while let Ok(Ok(accepted)) = timeout(Duration::ZERO, listener.socket.accept()).await {
        spawn(&shared, accepted, &listener.headers, &alive);
    }
}

fn spawn<S>(
    shared: &ServerState<S>,
    (socket, peer): (TcpStream, SocketAddr),
    headers: &Option<ProxyHeaders>,
    alive: &Alive,
) where
    S: Service<Received<Incoming>, Response = Response, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
{
    let slot = match headers {
        Some(headers) => headers.admit(&shared.connections, peer),
        None => shared.connections.admit(peer),
    };
    let Some(slot) = slot else {
        // A reset frees the connection in the kernel at once.
        return drop(socket.set_zero_linger());
    };
    let (shared, alive, headers) = (shared.clone(), alive.clone(), headers.clone());
    isolated_task(Scope::Connection, async move {
        serve::serve(shared, (socket, peer), headers, slot).await;
        drop(alive);
    });
}

async fn pause_after(error: &io::Error, connections: &Connections) {
    // The failure of one client does not affect the next one.
    if is_client_failure(error) {
        return;
    }
    connections.note_accept_failure(error);
    sleep(PAUSE_WITHOUT_RESOURCES).await;
}

fn is_client_failure(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connections::ConnectionMetrics;
    use crate::metrics::Metrics;
    use crate::server::settings::Limits;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn accepting_pauses_without_descriptors_and_not_after_a_disconnected_client() {
        const EMFILE: i32 = 24;
        let metrics = Metrics::default();
        let declared = ConnectionMetrics::declare(&metrics).unwrap();
        let connections = Connections::new("server", Limits::default().pool(), &declared);
        let timed = async |error: io::Error| {
            let started = Instant::now();
            pause_after(&error, &connections).await;
            started.elapsed()
        };
        let without_descriptors = timed(io::Error::from_raw_os_error(EMFILE)).await;
        assert!(without_descriptors >= PAUSE_WITHOUT_RESOURCES);
        let without_peer = timed(io::ErrorKind::ConnectionAborted.into()).await;
        assert_eq!(without_peer, Duration::ZERO);
        let text = String::from_utf8(metrics.render().unwrap()).unwrap();
        assert!(text.contains("xks_accept_failures_total{listener=\"server\"} 1"));
    }
}
