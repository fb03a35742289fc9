//! Whether the output of an HSM can be trusted.
//!
//! # Invariants
//! - An HSM that returned a wrong output serves nothing more: no encryption, no decryption, no attempt to open it again. What it answered
//!   to others at the same moment is withheld.
//! - Only an operator ends this: a restart, another token in its `[[hsm]]`, or a new `[[hsm]]`. Other settings of the HSM can change by
//!   themselves (a PIN file that is rotated, for example) and do not.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

/// The trust in one token. It outlives the workers that open it.
#[derive(Debug, Default)]
pub(super) struct Trust(ArcSwapOption<String>);

impl Trust {
    /// Why the HSM is not trusted; none: it is.
    pub(super) fn lost(&self) -> Option<Arc<String>> {
        self.0.load_full()
    }

    /// Whether the HSM is trusted.
    pub(super) fn is_kept(&self) -> bool {
        self.0.load().is_none()
    }

    /// Loses the trust for this reason. Returns whether this is the first one.
    pub(super) fn lose(&self, reason: String) -> bool {
        let lost = Some(Arc::new(reason));
        self.0
            .compare_and_swap(&None::<Arc<String>>, lost)
            .is_none()
    }

    /// Another token is meant now.
    pub(super) fn restore(&self) {
        self.0.store(None);
    }
}
