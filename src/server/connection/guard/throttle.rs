//! Delays the requests of an HTTP/2 connection whose source sends too many unverified requests ([`RateLimit`]).
//!
//! # Invariants
//! - The first request of a connection is not delayed. But if the client begins the second request before the first one's body is complete, the rest of
//!   that body waits too.
//! - No request is delayed on a connection that has carried a verified request, or whose source is known or shared.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::time::{Sleep, sleep};

use crate::server::request::peer::Peer;
use crate::server::unverified::{ClientClass, RateLimit};

/// The throttle of one HTTP/2 connection.
pub(in crate::server) struct Throttle {
    rate_limit: RateLimit,
    peer: Arc<Peer>,
    /// The maximum number of connections of its source.
    connections: usize,
    has_request: bool,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Throttle {
    /// Creates a throttle that does not delay yet.
    pub(in crate::server) fn new(
        rate_limit: RateLimit,
        peer: Arc<Peer>,
        connections: usize,
    ) -> Self {
        Self {
            rate_limit,
            peer,
            connections,
            has_request: false,
            pause: None,
        }
    }

    /// Returns whether requests of this client are counted.
    pub(super) fn counts(&self) -> bool {
        matches!(self.peer.client_class(), ClientClass::Unknown(_))
    }

    /// Counts a request that begins. The bytes after it wait if its source has sent too many requests.
    pub(super) fn note_request(&mut self) {
        let ClientClass::Unknown(source) = self.peer.client_class() else {
            return;
        };
        let now = Instant::now();
        if !std::mem::replace(&mut self.has_request, true) {
            self.rate_limit.count(&source, self.connections, now);
            return;
        }
        let wait = self.rate_limit.wait(&source, self.connections, now);
        self.pause = (!wait.is_zero()).then(|| Box::pin(sleep(wait)));
    }

    /// Resolves when bytes may be read again.
    pub(super) fn poll_released(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(context));
            self.pause = None;
        }
        Poll::Ready(())
    }
}
