//! The server as a whole: binds its addresses, serves, and drains.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};

use super::connection::handshake::Handshakes;
use super::connection::listener::{self, Listener};
use super::connection::serve::ServerState;
use super::layers;
use super::layers::detached::Detached;
use super::live::Live;
use super::metrics::ServerMetrics;
use super::unverified::UnverifiedLimits;
use crate::audit::Trail;
use crate::connections::{Connections, PERIOD, ProxyHeaders};
use crate::listen::{self, ListenAddress};

/// The parts of a server.
pub struct ServerParts {
    /// The addresses to listen on.
    pub listen: Vec<ListenAddress>,
    /// The connections of the server.
    pub connections: Connections,
    /// The reader of PROXY headers, for the listeners that require them.
    pub headers: ProxyHeaders,
    /// The active configuration.
    pub live: Live,
    /// The audit trail; `None` if no audit is configured.
    pub trail: Option<Trail>,
    /// The metrics of the server.
    pub metrics: ServerMetrics,
}

/// A server that is bound but does not accept yet.
pub struct Server {
    parts: ServerParts,
    listeners: Vec<Listener>,
}

impl Server {
    /// Binds every address.
    ///
    /// # Errors
    /// Returns the error of the first address that cannot be bound; the text names the address.
    pub fn bind(parts: ServerParts) -> io::Result<Self> {
        let bound = listen::bind(&parts.listen)?.into_iter();
        let with_headers = |(socket, listen): (TcpListener, &ListenAddress)| Listener {
            socket,
            headers: listen.requires_header.then(|| parts.headers.clone()),
        };
        let listeners = bound.zip(&parts.listen).map(with_headers).collect();
        Ok(Self { parts, listeners })
    }

    /// Returns the bound addresses. Instead of port 0 they have the port that the kernel chose.
    ///
    /// # Errors
    /// Returns the error of a socket whose address cannot be read.
    pub fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        let listeners = self.listeners.iter();
        listeners.map(|one| one.socket.local_addr()).collect()
    }

    /// Serves until `stop` resolves, and then drains for at most the grace period: accepts the connections in the kernel's queue and finishes the requests
    /// in progress. Returns whether everything was finished in time.
    pub async fn serve(self, stop: impl Future<Output = ()>) -> bool {
        let ServerParts {
            live,
            metrics,
            trail,
            connections,
            headers,
            ..
        } = self.parts;
        let unverified = UnverifiedLimits::new(&metrics.unverified, trail.clone());
        let detached = Detached::default();
        let stack = layers::stack(&metrics, trail, &unverified, &detached);
        let (drain, draining) = watch::channel(false);
        let shared = ServerState {
            stack,
            live: live.clone(),
            handshakes: Handshakes::new(live.clone(), metrics),
            rate_limit: unverified.rate_limit.clone(),
            connections,
            draining,
        };
        let (alive, all_ended) = mpsc::channel(1);
        let mut accepting = JoinSet::new();
        for listener in self.listeners {
            accepting.spawn(listener::accept(listener, shared.clone(), alive.clone()));
        }
        drop(alive);
        let report = || {
            shared.connections.report();
            shared.handshakes.report();
            headers.report();
        };
        tokio::select! {
            () = stop => {}
            () = every_period(report) => {}
            () = unverified.report() => {}
        }
        drain.send_replace(true);
        let ended = async {
            ended(accepting, all_ended).await;
            detached.ended().await;
        };
        let finished = tokio::select! {
            finished = timeout(live.now().grace_period, ended) => finished.is_ok(),
            () = unverified.report() => false,
        };
        report();
        unverified.report_all();
        finished
    }
}

/// Never resolves.
async fn every_period(report: impl Fn()) {
    let mut periods = interval(PERIOD);
    loop {
        periods.tick().await;
        report();
    }
}

/// Waits until every listener and every connection has ended.
async fn ended(mut accepting: JoinSet<()>, mut all: mpsc::Receiver<Infallible>) {
    while accepting.join_next().await.is_some() {}
    // No connection sends a value, so this waits until all have dropped their sender.
    let None = all.recv().await;
}
