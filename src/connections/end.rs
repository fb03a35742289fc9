//! Why a connection ended.

use super::pool::State;

/// Why a connection ended: the label `reason` of `xks_connections_closed_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The client closed it, or its last answer said so.
    Closed,
    /// Its PROXY header was malformed, did not arrive in time, or was not followed by what the listener serves.
    ProxyProtocol,
    /// TLS was not established.
    HandshakeFailed,
    /// TLS was not established in time.
    HandshakeTimeout,
    /// A request's head did not arrive in time.
    HeaderTimeout,
    /// It was idle for too long.
    IdleTimeout,
    /// It was too old, and a request had been answered since.
    MaxAge,
    /// Too many bytes came without a request, or too many streams of HTTP/2 were reset.
    Flood,
    /// What came is not HTTP, or breaks a rule of HTTP/2 for connections, or is a head with too many or too long headers: the request has no line
    /// and no count of its own.
    Malformed,
    /// The server stops.
    Drain,
    /// Another one took its place before it had sent anything, or after its handshake was refused.
    DisplacedSilent,
    /// Another one took its place during its handshake.
    DisplacedHandshake,
    /// Another one took its place before it had carried a verified request.
    DisplacedUnverified,
    /// Another verified one took its place: `max_connections` is reached, and it had been idle for the longest time.
    DisplacedVerified,
    /// There was no place for it: every connection that it competed with was in the middle of its handshake.
    Refused,
}

impl End {
    /// Every reason.
    pub const ALL: [Self; 15] = [
        Self::Closed,
        Self::ProxyProtocol,
        Self::HandshakeFailed,
        Self::HandshakeTimeout,
        Self::HeaderTimeout,
        Self::IdleTimeout,
        Self::MaxAge,
        Self::Flood,
        Self::Malformed,
        Self::Drain,
        Self::DisplacedSilent,
        Self::DisplacedHandshake,
        Self::DisplacedUnverified,
        Self::DisplacedVerified,
        Self::Refused,
    ];

    /// Its name in metrics and log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::ProxyProtocol => "proxy_protocol",
            Self::HandshakeFailed => "handshake_failed",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::HeaderTimeout => "header_timeout",
            Self::IdleTimeout => "idle_timeout",
            Self::MaxAge => "max_age",
            Self::Flood => "flood",
            Self::Malformed => "malformed",
            Self::Drain => "drain",
            Self::DisplacedSilent => "displaced_silent",
            Self::DisplacedHandshake => "displaced_handshake",
            Self::DisplacedUnverified => "displaced_unverified",
            Self::DisplacedVerified => "displaced_verified",
            Self::Refused => "refused",
        }
    }

    /// The reason of a displaced connection that had come so far; `None` for a verified one.
    pub(super) fn displaced(state: Option<State>) -> Self {
        match state {
            Some(State::Silent | State::Lingering) => Self::DisplacedSilent,
            Some(State::Handshake) => Self::DisplacedHandshake,
            Some(State::Established) => Self::DisplacedUnverified,
            None => Self::DisplacedVerified,
        }
    }
}
