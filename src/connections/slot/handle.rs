//! A handle to a connection, for its requests and its socket.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::listener_state::{Link, ListenerState};
use crate::connections::pool::{Id, Pool};

/// The precision of the time of a source's last verified request. A connection locks the pool at most once in this time to update it.
const PRECISION_MS: u64 = 1_000;

/// A handle to a connection; cheap to clone. It does not keep the connection's slot.
#[derive(Clone)]
pub struct Handle {
    pub(in crate::connections) shared: Arc<ListenerState>,
    pub(in crate::connections) link: Arc<Link>,
    pub(in crate::connections) id: Id,
}

/// The standing of a connection's client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The connection has carried a verified request.
    Verified,
    /// The connection has not, but its source is shared or had a verified request in the ten minutes before the accept.
    Known,
    /// Neither is true.
    Unknown,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Handle").field(&self.id).finish()
    }
}

impl Handle {
    /// Records that a request on this connection was verified. From now on, no unverified connection displaces it, and its source is known for ten
    /// minutes.
    pub fn mark_verified(&self) {
        let link = &self.link;
        let age = u64::try_from(link.usage.began().elapsed().as_millis()).unwrap_or(u64::MAX);
        let is_verified = link.is_verified.load(Ordering::Acquire);
        let noted_at = link.noted_at.load(Ordering::Relaxed);
        if is_verified && age.saturating_sub(noted_at) < PRECISION_MS {
            return;
        }
        link.noted_at.store(age, Ordering::Relaxed);
        let verify = |pool: &mut Pool<_>| pool.verify(self.id, Instant::now());
        let (is_verified, displaced) = self.shared.change(verify);
        link.is_verified.store(is_verified, Ordering::Release);
        self.shared.close(displaced);
    }

    /// Returns the standing of the client.
    pub fn standing(&self) -> Standing {
        let link = &self.link;
        match (&link.is_verified, &link.is_known) {
            (verified, _) if verified.load(Ordering::Acquire) => Standing::Verified,
            (_, known) if known.load(Ordering::Relaxed) => Standing::Known,
            _ => Standing::Unknown,
        }
    }

    /// Records that the client has sent its first bytes, or a reply.
    pub(in crate::connections) fn progress(&self) {
        if self.is_handshaking() {
            self.shared.pool().progress(self.id, Instant::now());
        }
    }

    pub(in crate::connections) fn is_handshaking(&self) -> bool {
        self.link.is_handshaking.load(Ordering::Relaxed)
    }

    pub(in crate::connections) fn is_displaced(&self) -> bool {
        self.link.is_displaced.load(Ordering::Acquire)
    }

    /// Returns whether the connection was displaced and has not carried a verified request. Then it may end with a reset.
    pub(in crate::connections) fn is_displaced_unverified(&self) -> bool {
        self.is_displaced() && !self.link.is_verified.load(Ordering::Acquire)
    }

    /// Ends the handshake with `change`, unless it has ended before.
    pub(in crate::connections) fn end_handshake(
        &self,
        change: impl FnOnce(&mut Pool<Arc<Link>>, Id),
    ) {
        if self.link.is_handshaking.swap(false, Ordering::Relaxed) {
            self.shared.change(|pool| change(pool, self.id));
        }
    }
}
