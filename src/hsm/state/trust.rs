//! Trust in the output of an HSM.
//!
//! # Invariants
//! - An HSM that returned a wrong output is not used for encryption or decryption, and is not reopened. Answers to other requests that
//!   arrive after the wrong output are withheld.
//! - Only an operator can restore the trust: by a restart, a different token in the `[[hsm]]`, or a new `[[hsm]]`. Other settings do not
//!   restore it, because some change without an operator, for example a rotated PIN file.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

/// The trust in one token. It outlives the workers.
#[derive(Debug, Default)]
pub(in crate::hsm) struct Trust(ArcSwapOption<String>);

impl Trust {
    /// Returns why the HSM is not trusted; `None` if it is trusted.
    pub(in crate::hsm) fn lost(&self) -> Option<Arc<String>> {
        self.0.load_full()
    }

    /// Returns whether the HSM is trusted.
    pub(in crate::hsm) fn is_kept(&self) -> bool {
        self.0.load().is_none()
    }

    /// Withdraws the trust. Returns whether it was still trusted.
    pub(in crate::hsm) fn lose(&self, reason: String) -> bool {
        let lost = Some(Arc::new(reason));
        self.0
            .compare_and_swap(&None::<Arc<String>>, lost)
            .is_none()
    }

    /// Restores the trust, because a different token was configured.
    pub(in crate::hsm) fn restore(&self) {
        self.0.store(None);
    }
}
