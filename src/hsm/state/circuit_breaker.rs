//! The state of an HSM's circuit breaker.

/// The state of the circuit breaker of an HSM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::hsm) enum Phase {
    /// The HSM is being opened and checked.
    Probing,
    /// The HSM serves.
    Usable,
    /// The HSM does not serve.
    Failed,
    /// The output of the HSM was wrong. It is not used until an operator acts.
    Untrusted,
}

impl Phase {
    pub(in crate::hsm) fn as_str(self) -> &'static str {
        match self {
            Self::Probing => "probing",
            Self::Usable => "usable",
            Self::Failed => "failed",
            Self::Untrusted => "untrusted",
        }
    }
}
