//! The accept loop: a permit first, then a connection.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tower::Service;

use super::Response;
use super::connection::{self, Shared};

/// The pause after an accept that failed for want of descriptors or memory: trying again at once would only burn the CPU
/// that could free some.
const PAUSE_WITHOUT_RESOURCES: Duration = Duration::from_millis(100);

/// Accepts connections until the server drains, then those that already wait in the kernel.
pub(super) async fn accept<S>(listener: TcpListener, shared: Shared<S>, places: Arc<Semaphore>)
where
    S: Service<Request<Incoming>, Response = Response, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
{
    let mut draining = shared.draining.clone();
    loop {
        let accepted = tokio::select! {
            accepted = accept_one(&listener, &places) => accepted,
            _ = draining.changed() => break,
        };
        match accepted {
            Ok((stream, peer, place)) => spawn(&shared, stream, peer, place),
            Err(error) => pause_after(&error).await,
        }
    }
    // Their clients believe to be connected: they are served, with `Connection: close`.
    while let Ok(Ok((stream, peer, place))) =
        timeout(Duration::ZERO, accept_one(&listener, &places)).await
    {
        spawn(&shared, stream, peer, place);
    }
}

async fn accept_one(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = Arc::clone(places)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, place))
}

fn spawn<S>(shared: &Shared<S>, stream: TcpStream, peer: SocketAddr, place: OwnedSemaphorePermit)
where
    S: Service<Request<Incoming>, Response = Response, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
{
    let shared = shared.clone();
    let connections = shared.metrics.connections.clone();
    tokio::spawn(async move {
        connections.inc();
        connection::serve(shared, stream, peer).await;
        connections.dec();
        drop(place);
    });
}

async fn pause_after(error: &io::Error) {
    // A peer that has already gone is no reason to wait for the next one.
    if is_about_the_peer(error) {
        return;
    }
    tracing::error!(%error, "cannot accept connections");
    sleep(PAUSE_WITHOUT_RESOURCES).await;
}

fn is_about_the_peer(error: &io::Error) -> bool {
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
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn want_of_descriptors_backs_off_and_a_gone_peer_does_not() {
        const EMFILE: i32 = 24;
        let timed = async |error: io::Error| {
            let started = Instant::now();
            pause_after(&error).await;
            started.elapsed()
        };
        let without_descriptors = timed(io::Error::from_raw_os_error(EMFILE)).await;
        assert!(without_descriptors >= PAUSE_WITHOUT_RESOURCES);
        let without_peer = timed(io::ErrorKind::ConnectionAborted.into()).await;
        assert_eq!(without_peer, Duration::ZERO);
    }
}
