//! The server as a whole: bound, serving, draining.

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
use super::connection::serve::Shared;
use super::layers;
use super::layers::detached::Detached;
use super::live::Live;
use super::metrics::ServerMetrics;
use super::unverified::Strangers;
use crate::audit::Trail;
use crate::connections::{Connections, PERIOD, ProxyHeaders};
use crate::listen::{self, ListenAddress};

/// What a server is made of.
pub struct ServerParts {
    /// Where to listen.
    pub listen: Vec<ListenAddress>,
    /// Its connections.
    pub connections: Connections,
    /// The PROXY headers of those listeners that require them.
    pub headers: ProxyHeaders,
    /// What it serves, and by which rules.
    pub live: Live,
    /// Where it records, if it does.
    pub trail: Option<Trail>,
    /// Where it counts.
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
    /// The first address that cannot be bound, named.
    pub fn bind(parts: ServerParts) -> io::Result<Self> {
        let bound = listen::bind(&parts.listen)?.into_iter();
        let with_headers = |(socket, listen): (TcpListener, &ListenAddress)| Listener {
            socket,
            headers: listen.requires_header.then(|| parts.headers.clone()),
        };
        let listeners = bound.zip(&parts.listen).map(with_headers).collect();
        Ok(Self { parts, listeners })
    }

    /// Where it is bound; ports that were 0 are the chosen ones.
    ///
    /// # Errors
    /// When a socket does not know its address any more.
    pub fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        let listeners = self.listeners.iter();
        listeners.map(|one| one.socket.local_addr()).collect()
    }

    /// Serves until `stop` resolves, then drains: takes what already waits in the kernel, finishes what runs, for the grace
    /// period at most. Gives whether everything was finished.
    pub async fn serve(self, stop: impl Future<Output = ()>) -> bool {
        let ServerParts {
            live,
            metrics,
            trail,
            connections,
            headers,
            ..
        } = self.parts;
        let strangers = Strangers::new(&metrics.strangers, trail.clone());
        let detached = Detached::default();
        let stack = layers::stack(&live, &metrics, trail, &strangers, &detached);
        let (drain, draining) = watch::channel(false);
        let shared = Shared {
            stack,
            live: live.clone(),
            handshakes: Handshakes::new(live.clone(), metrics),
            pace: strangers.pace.clone(),
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
            () = strangers.report() => {}
        }
        drain.send_replace(true);
        let ended = async {
            ended(accepting, all_ended).await;
            detached.ended().await;
        };
        let finished = tokio::select! {
            finished = timeout(live.now().grace_period, ended) => finished.is_ok(),
            () = strangers.report() => false,
        };
        report();
        strangers.report_rest();
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
    let None = all.recv().await;
}
