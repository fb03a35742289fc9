//! Whether a device's output can be trusted. What happens when it cannot is in `quarantine`.

use std::sync::OnceLock;

use super::history::History;

/// The trust in one token. It outlives the connections to it.
#[derive(Debug, Default)]
pub(super) struct Trust {
    pub history: History,
    lost: OnceLock<String>,
}

impl Trust {
    /// Why the device is not trusted; none: it is.
    pub(super) fn lost(&self) -> Option<&str> {
        self.lost.get().map(String::as_str)
    }

    /// Loses the trust for this reason. Returns whether this is the first one.
    pub(super) fn lose(&self, reason: String) -> bool {
        self.lost.set(reason).is_ok()
    }
}
