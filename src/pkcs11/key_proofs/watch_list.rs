//! The keys that the configuration expects on a device. They are the device's for as long as it is configured, whatever becomes of its
//! sessions and settings.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::ekm::ExpectedKey;

/// The keys that are expected now.
#[derive(Default)]
pub(in crate::pkcs11) struct WatchList(ArcSwap<Vec<ExpectedKey>>);

impl WatchList {
    /// Replaces the keys.
    pub(in crate::pkcs11) fn set(&self, keys: Vec<ExpectedKey>) {
        self.0.store(Arc::new(keys));
    }

    /// The keys. Another `Arc` after each [`Self::set`].
    pub(in crate::pkcs11) fn now(&self) -> Arc<Vec<ExpectedKey>> {
        self.0.load_full()
    }

    /// Whether `keys` came from [`Self::now`] and have not been replaced.
    pub(in crate::pkcs11) fn is(&self, keys: &Arc<Vec<ExpectedKey>>) -> bool {
        Arc::ptr_eq(&self.0.load(), keys)
    }
}
