//! The keys that the configuration expects on the token.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::ekm::ExpectedKey;

/// The expected keys.
#[derive(Default)]
pub(in crate::pkcs11) struct WatchList(ArcSwap<Vec<ExpectedKey>>);

impl WatchList {
    /// Replaces the keys.
    pub(in crate::pkcs11) fn set(&self, keys: Vec<ExpectedKey>) {
        self.0.store(Arc::new(keys));
    }

    /// Returns the keys. Each [`Self::set`] makes a new `Arc`.
    pub(in crate::pkcs11) fn now(&self) -> Arc<Vec<ExpectedKey>> {
        self.0.load_full()
    }

    /// Returns whether `keys` are the result of [`Self::now`] and were not replaced since then.
    pub(in crate::pkcs11) fn is(&self, keys: &Arc<Vec<ExpectedKey>>) -> bool {
        Arc::ptr_eq(&self.0.load(), keys)
    }
}
