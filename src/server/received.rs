//! A request as the layers receive it, with what belongs to it until its end.
//!
//! # Invariants
//! - A request uses one configuration from its headers to its response, even if a reload happens in between.

use std::sync::Arc;
use std::time::Instant;

use http::Request;
use http::request::Parts;

use super::live::Serving;
use super::request::peer::Peer;
use super::request::record::Record;
use super::request::trace_context::TraceContext;
use crate::clock::Deadline;

/// A received request.
pub(in crate::server) struct Received<B> {
    pub head: Parts,
    pub body: B,
    /// The client and its connection.
    pub peer: Arc<Peer>,
    /// The configuration of the whole request.
    pub serving: Arc<Serving>,
    /// The time at which the headers were complete.
    pub started: Instant,
    /// The end of every wait of the request: for its body, for the HSM and for the audit trail.
    pub deadline: Deadline,
    /// The facts about the request.
    pub record: Record,
}

impl<B> Received<B> {
    /// Starts the time and the record of a request.
    pub(in crate::server) fn new(
        request: Request<B>,
        peer: Arc<Peer>,
        serving: Arc<Serving>,
    ) -> Self {
        let (head, body) = request.into_parts();
        let record = Record::new(TraceContext::of(&head.headers), peer.certificate);
        Self {
            head,
            body,
            peer,
            started: Instant::now(),
            deadline: Deadline::after(serving.limits.request_timeout),
            serving,
            record,
        }
    }
}

#[cfg(test)]
pub(in crate::server) mod tests {
    use super::*;
    use crate::server::live::tests::with_limits;
    use crate::server::request::peer::tests::any_peer;
    use crate::server::settings::Limits;

    /// Returns a request without a body.
    pub(in crate::server) fn any_request() -> Received<()> {
        let live = with_limits(Limits::default());
        Received::new(
            Request::new(()),
            Arc::new(any_peer()),
            Arc::clone(&live.now()),
        )
    }
}
