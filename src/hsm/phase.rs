//! The state of an HSM's circuit breaker.

/// The state, for logs and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It is being opened and checked.
    Probing,
    /// It serves.
    Usable,
    /// It does not serve.
    Failed,
    /// Its output was wrong: it is not used until an operator acts.
    Untrusted,
}

impl Phase {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Probing => "probing",
            Self::Usable => "usable",
            Self::Failed => "failed",
            Self::Untrusted => "untrusted",
        }
    }
}
