//! The state of a store that is not saved: its link and the usage of its quota.

use std::sync::{Arc, Mutex};

use crate::simulator::proxy::link::ProxyLink;
use crate::simulator::proxy::quota::StoreQuota;

/// The state of a store that is not saved.
#[derive(Default)]
pub(in crate::simulator) struct StoreRuntime {
    /// Present while the store is connected.
    link: Mutex<Option<Arc<ProxyLink>>>,
    quota: std::sync::OnceLock<StoreQuota>,
}

impl StoreRuntime {
    /// Returns the link to the proxy, if the store is connected.
    pub(in crate::simulator) fn link(&self) -> Option<Arc<ProxyLink>> {
        let link = self.link.lock();
        link.unwrap_or_else(crate::sync::poisoned).clone()
    }

    /// Replaces the link and closes the previous one.
    pub(in crate::simulator) fn set_link(&self, new: Option<Arc<ProxyLink>>) {
        let link = self.link.lock();
        let mut link = link.unwrap_or_else(crate::sync::poisoned);
        if let Some(before) = std::mem::replace(&mut *link, new) {
            before.close();
        }
    }

    /// Returns the quota of the store. The first call creates it, with this rate per second.
    pub(in crate::simulator) fn quota(&self, rate: u32) -> &StoreQuota {
        self.quota.get_or_init(|| StoreQuota::per_second(rate))
    }
}
