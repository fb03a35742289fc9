//! Why a key was not created.

use thiserror::Error;

/// The reason why a key was not created. The message names the HSM or the label, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CreationError {
    /// An HSM does not answer or cannot be opened. Nothing was created, unless the message names a created key. The same command may succeed
    /// later.
    #[error("{0}")]
    Unavailable(String),
    /// A key with this label or id exists in an HSM or in the configuration. Nothing was created.
    #[error("{0}")]
    NameInUse(String),
    /// The key cannot be created, or was created but cannot be used.
    #[error("{0}")]
    Failed(String),
}

impl CreationError {
    /// Returns a stable name for programs: `hsm_unavailable`, `name_in_use` or `creation_failed`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "hsm_unavailable",
            Self::NameInUse(_) => "name_in_use",
            Self::Failed(_) => "creation_failed",
        }
    }
}
