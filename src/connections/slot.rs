//! The slots of one listener.

mod handle;
mod shared;
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
pub use shared::Exempt;
use shared::{Link, Shared};
pub use stream::ClientStream;

/// The connections of one listener; cheap to clone.
#[derive(Clone)]
pub struct Connections(Arc<Shared>);

impl Connections {
    /// No connections yet of `listener`, which is its name in metrics and log.
    pub fn new(listener: &'static str, limits: PoolLimits, metrics: &ConnectionMetrics) -> Self {
        Self(Arc::new(Shared::new(limits, metrics.of(listener))))
    }

    /// Changes limits and exempt sources; connections that are there stay until another one needs their place.
    pub fn configure(&self, limits: PoolLimits, exempt: Exempt) {
        self.0.configure(limits, exempt);
    }

    /// A slot for a connection that was just accepted from `address`; `None` when it is refused, and must be closed.
    pub fn admit(&self, address: SocketAddr) -> Option<Slot> {
        self.enter(Source::from(address), self.0.is_exempt(address.ip()))
    }

    /// The same for a connection from a load balancer, whose PROXY header will tell its source.
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
    /// As it was accepted.
    source: Source,
    /// As its PROXY header says.
    identified: OnceLock<Source>,
    handle: Handle,
    end: End,
}

impl Slot {
    /// Where the connection comes from.
    pub fn source(&self) -> &Source {
        self.identified.get().unwrap_or(&self.source)
    }

    /// Moves it to the source that its PROXY header names: the client's, or the balancer's own `address` for its health checks.
    ///
    /// # Errors
    /// [`End::Refused`] when that source's limit leaves no room for it. It is counted then, and must be closed.
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
        // The first header is the only one.
        drop(self.identified.set(source));
        self.handle.progress();
        Ok(())
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
