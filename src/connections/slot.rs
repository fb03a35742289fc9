//! The slots of one listener.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use tokio::net::TcpStream;

use super::end::End;
use super::handle::Handle;
use super::metrics::ConnectionMetrics;
use super::networks::Networks;
use super::pool::{Pool, PoolLimits};
use super::shared::{Link, Shared};
use super::source::Source;
use super::stream::ClientStream;
use super::usage::Usage;

/// The connections of one listener; cheap to clone.
#[derive(Clone)]
pub struct Connections(Arc<Shared>);

impl Connections {
    /// No connections yet of `listener`, which is its name in metrics and log.
    pub fn new(listener: &'static str, limits: PoolLimits, metrics: &ConnectionMetrics) -> Self {
        Self(Arc::new(Shared::new(limits, metrics.of(listener))))
    }

    /// Changes limits and shared sources; connections that are there stay until another one needs their place.
    pub fn configure(&self, limits: PoolLimits, shared_sources: Networks) {
        self.0.configure(limits, shared_sources);
    }

    /// A slot for a connection that was just accepted from `address`; `None` when it is refused, and must be closed.
    pub fn admit(&self, address: SocketAddr) -> Option<Slot> {
        let (source, now) = (Source::from(address), Instant::now());
        let is_shared = self.0.is_shared(address.ip());
        let link = Arc::new(Link::new(now));
        let admission = self.0.change(|pool| {
            let entering = Arc::clone(&link);
            pool.enter(entering, source.clone(), is_shared, now)
        });
        self.0.close(admission.displaced);
        link.is_known.store(admission.is_known, Ordering::Relaxed);
        let Some(id) = admission.id else {
            self.0
                .count_closed(source, End::Refused, admission.is_known);
            return None;
        };
        let shared = Arc::clone(&self.0);
        Some(Slot {
            source,
            handle: Handle { shared, link, id },
            end: End::Closed,
        })
    }

    /// Notes that a connection could not be accepted, for lack of descriptors or memory.
    pub fn note_accept_failure(&self, error: &io::Error) {
        self.0.note_accept_failure(error);
    }

    /// Logs what was counted since the last call; to be called once per [`super::PERIOD`], and at the end.
    pub fn report(&self) {
        self.0.report();
    }
}

/// A connection's slot; given back when it is dropped.
pub struct Slot {
    source: Source,
    handle: Handle,
    end: End,
}

impl Slot {
    /// Where the connection comes from.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Whether it has requests in progress.
    pub fn usage(&self) -> &Arc<Usage> {
        &self.handle.link.usage
    }

    /// A handle for its requests.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Its socket, watched for the progress of the handshake.
    pub fn stream(&self, socket: TcpStream) -> ClientStream {
        ClientStream::new(socket, self.handle())
    }

    /// The handshake is done, or the first answer given.
    pub fn establish(&self) {
        self.handle.end_handshake(Pool::establish);
    }

    /// The handshake was refused; only the client's goodbye is awaited.
    pub fn linger(&self) {
        self.handle.end_handshake(Pool::linger);
    }

    /// Resolves when another connection has taken this one's place: this one must end.
    pub async fn displaced(&self) {
        while !self.handle.is_displaced() {
            self.handle.link.displaced.notified().await;
        }
    }

    /// Whether it has carried a verified request.
    pub fn is_verified(&self) -> bool {
        self.handle.link.is_verified.load(Ordering::Acquire)
    }

    /// Returns the slot and counts why the connection ended. A displaced connection was counted when it was displaced.
    pub fn finish(mut self, end: End) {
        self.end = end;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let Handle { shared, id, .. } = &self.handle;
        let left = shared.change(|pool| pool.leave(*id, Instant::now()));
        let source = self.source();
        if let Some(is_known) = left {
            shared.count_ended(source, self.end, is_known);
        }
    }
}
