//! Holds back the requests of an HTTP/2 connection whose source sends too many without a signature ([`Pace`]).
//!
//! # Invariants
//! - The first request of a connection is not held back. If the client begins the next one before its body is complete, its rest waits behind that one.
//! - Nothing is held back on a connection that has carried a verified request, or whose source is known or shared.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::time::{Sleep, sleep};

use crate::server::request::peer::Peer;
use crate::server::unverified::{Owner, Pace};

/// The brake of one connection.
pub(in crate::server) struct Brake {
    pace: Pace,
    peer: Peer,
    /// How many connections its source may have.
    connections: usize,
    has_request: bool,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Brake {
    /// A brake that is released.
    pub(in crate::server) fn new(pace: Pace, peer: Peer, connections: usize) -> Self {
        Self {
            pace,
            peer,
            connections,
            has_request: false,
            pause: None,
        }
    }

    /// Whether requests of this client are counted.
    pub(super) fn counts(&self) -> bool {
        matches!(self.peer.owner(), Owner::Stranger(_))
    }

    /// Counts a request that begins. What follows waits if its source has sent too many.
    pub(super) fn note_request(&mut self) {
        let Owner::Stranger(source) = self.peer.owner() else {
            return;
        };
        let now = Instant::now();
        if !std::mem::replace(&mut self.has_request, true) {
            self.pace.count(&source, self.connections, now);
            return;
        }
        let wait = self.pace.wait(&source, self.connections, now);
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
