//! The reason of a connection's end.

use super::pool::UnverifiedState;

/// The reason of a connection's end: the label `reason` of `xks_connections_closed_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The client closed it, or the proxy closed it after its last response.
    Closed,
    /// Its PROXY header was malformed, did not arrive in time, or was not followed by the protocol of the listener.
    ProxyProtocol,
    /// The TLS handshake failed.
    HandshakeFailed,
    /// The TLS handshake was not complete in time.
    HandshakeTimeout,
    /// A request's head did not arrive in time.
    HeaderTimeout,
    /// It was idle for too long.
    IdleTimeout,
    /// It was older than the maximum age, and ended with a response.
    MaxAge,
    /// Too many bytes arrived outside requests, or too many streams of HTTP/2 were reset.
    Flood,
    /// The received bytes are not HTTP, break a rule of HTTP/2 for connections, or are a head with too many or too long header fields. Such a request is
    /// not counted, and has no access log line.
    Malformed,
    /// The server stops.
    Drain,
    /// It was displaced before it had sent anything, or after its handshake failed.
    DisplacedSilent,
    /// It was displaced during its handshake.
    DisplacedHandshake,
    /// It was displaced before it had carried a verified request.
    DisplacedUnverified,
    /// Another verified connection displaced it: `max_connections` was reached, and it had been idle for the longest time.
    DisplacedVerified,
    /// It was rejected: each connection that it could displace was in a handshake that progressed.
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

    /// Returns the name in metrics and log.
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

    /// Returns the reason for a displaced connection in this state; `None` is a verified connection.
    pub(super) fn displaced(state: Option<UnverifiedState>) -> Self {
        match state {
            Some(UnverifiedState::Silent | UnverifiedState::Lingering) => Self::DisplacedSilent,
            Some(UnverifiedState::Handshake) => Self::DisplacedHandshake,
            Some(UnverifiedState::Established) => Self::DisplacedUnverified,
            None => Self::DisplacedVerified,
        }
    }
}
