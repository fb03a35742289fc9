//! The connections of one listener, and the slot of each connection.

mod handle;
mod listener_state;
mod stream;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use tokio::net::TcpStream;

use super::end::End;
use super::metrics::ConnectionMetrics;
use super::pool::{Pool, PoolLimits};
use super::source::Source;
use super::usage::Usage;
use crate::proxy_protocol::Proxied;
pub use handle::{Handle, Standing};
pub use listener_state::Exempt;
use listener_state::{Link, ListenerState};
pub use stream::ClientStream;

/// The connections of one listener; cheap to clone.
#[derive(Clone)]
pub struct Connections(Arc<ListenerState>);

impl Connections {
    /// Creates the state of a listener without connections. `listener` is its name in metrics and log.
    pub fn new(listener: &'static str, limits: PoolLimits, metrics: &ConnectionMetrics) -> Self {
        Self(Arc::new(ListenerState::new(limits, metrics.of(listener))))
    }

    /// Changes limits and exempt sources. Existing connections stay until another one displaces them.
    pub fn configure(&self, limits: PoolLimits, exempt: Exempt) {
        self.0.configure(limits, exempt);
    }

    /// Returns a slot for a connection that was just accepted from `address`. `None`: the connection is rejected, and the caller must close it.
    pub fn admit(&self, address: SocketAddr) -> Option<Slot> {
        self.enter(Source::from(address), self.0.is_exempt(address.ip()))
    }

    /// Returns a slot for a connection from a load balancer, whose PROXY header has not arrived. See [`Self::admit`].
    pub fn admit_unidentified(&self, balancer: SocketAddr) -> Option<Slot> {
        let number = self.0.next_number();
        self.enter(Source::unidentified(balancer.ip(), number), false)
    }

    fn enter(&self, source: Source, is_exempt: bool) -> Option<Slot> {
        let now = Instant::now();
        let link = Arc::new(Link::new(now));
        let admission = self.0.change(|pool| {
            let entering = Arc::clone(&link);
            pool.enter(entering, source.clone(), is_exempt, now)
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
            identified: OnceLock::new(),
            handle: Handle { shared, link, id },
            end: End::Closed,
        })
    }

    /// Counts a connection that could not be accepted, for lack of descriptors or memory.
    pub fn note_accept_failure(&self, error: &io::Error) {
        self.0.note_accept_failure(error);
    }

    /// Logs the events counted since the last call. The caller calls it once per [`super::PERIOD`], and at the end.
    pub fn report(&self) {
        self.0.report();
    }
}

/// A connection's slot; released when it is dropped.
pub struct Slot {
    /// The source at the accept.
    source: Source,
    /// The source in the PROXY header.
    identified: OnceLock<Source>,
    handle: Handle,
    end: End,
}

impl Slot {
    /// Returns the source of the connection.
    pub fn source(&self) -> &Source {
        self.identified.get().unwrap_or(&self.source)
    }

    /// Moves the connection to the source in its PROXY header: the client, or the balancer's own `address` for its health checks.
    ///
    /// # Errors
    /// [`End::Refused`] when the limit of that source does not allow it. It is counted, and the caller must close it.
    pub(super) fn identify(
        &self,
        client: Option<&Proxied>,
        address: SocketAddr,
    ) -> Result<(), End> {
        let Handle { shared, link, id } = &self.handle;
        let (source, is_exempt) = match client {
            Some(proxied) => (Source::from(proxied), shared.is_listed(proxied)),
            None => (Source::from(address), shared.is_exempt(address.ip())),
        };
        let identify =
            |pool: &mut Pool<_>| pool.identify(*id, source.clone(), is_exempt, Instant::now());
        let admission = shared.change(identify);
        shared.close(admission.displaced);
        link.is_known.store(admission.is_known, Ordering::Relaxed);
        if admission.id.is_none() && !self.handle.is_displaced() {
            shared.count_closed(source, End::Refused, admission.is_known);
            return Err(End::Refused);
        }
        // A connection has only one header.
        drop(self.identified.set(source));
        self.handle.progress();
        Ok(())
    }

    /// Returns the requests in progress and the idle time.
    pub fn usage(&self) -> &Arc<Usage> {
        &self.handle.link.usage
    }

    /// Returns a handle for the connection's requests.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Wraps the connection's socket, so that the progress of the handshake is reported to the pool.
    pub fn stream(&self, socket: TcpStream) -> ClientStream {
        ClientStream::new(socket, self.handle())
    }

    /// Records that the handshake is complete. Without TLS, the first request counts as the handshake.
    pub fn establish(&self) {
        self.handle.end_handshake(Pool::establish);
    }

    /// Records that the handshake has failed, and that the client has not closed the connection yet.
    pub fn linger(&self) {
        self.handle.end_handshake(Pool::linger);
    }

    /// Resolves when another connection has displaced this one, which must end then.
    pub async fn displaced(&self) {
        while !self.handle.is_displaced() {
            self.handle.link.displaced.notified().await;
        }
    }

    /// Returns whether it has carried a verified request.
    pub fn is_verified(&self) -> bool {
        self.handle.link.is_verified.load(Ordering::Acquire)
    }

    /// Releases the slot and counts why the connection ended. A displaced connection was already counted.
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
