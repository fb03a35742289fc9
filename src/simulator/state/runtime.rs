//! What a store has while the simulator runs.

use std::sync::{Arc, Mutex};

use crate::simulator::proxy::link::Link;
use crate::simulator::proxy::quota::Quota;

/// What a store has while the simulator runs.
#[derive(Default)]
pub(in crate::simulator) struct Live {
    /// There while the store is connected.
    link: Mutex<Option<Arc<Link>>>,
    quota: std::sync::OnceLock<Quota>,
}

impl Live {
    /// The way to the proxy, while there is one.
    pub(in crate::simulator) fn link(&self) -> Option<Arc<Link>> {
        let link = self.link.lock();
        link.unwrap_or_else(crate::sync::poisoned).clone()
    }

    /// Puts another way in the place of the one before, which ends.
    pub(in crate::simulator) fn set_link(&self, new: Option<Arc<Link>>) {
        let link = self.link.lock();
        let mut link = link.unwrap_or_else(crate::sync::poisoned);
        if let Some(before) = std::mem::replace(&mut *link, new) {
            before.close();
        }
    }

    /// The quota of the store.
    pub(in crate::simulator) fn quota(&self, rate: u32) -> &Quota {
        self.quota.get_or_init(|| Quota::per_second(rate))
    }
}
