//! The reports of a worker about keys.

use std::collections::HashMap;
use std::sync::{RwLock, RwLockReadGuard};

use crate::ekm::{KeyManagerFault, KeySelector, KeyState};
use crate::hsm_protocol::KeyNews;
use crate::sync::poisoned;

/// The last report on each key. Only the task that reads the control channel writes, when a key has changed.
#[derive(Default)]
pub(in crate::hsm) struct KeyView(RwLock<HashMap<KeySelector, KeyNews>>);

impl KeyView {
    fn read(&self) -> RwLockReadGuard<'_, HashMap<KeySelector, KeyNews>> {
        self.0.read().unwrap_or_else(poisoned)
    }

    /// Replaces the reports on these keys.
    pub(in crate::hsm) fn learn(&self, news: Vec<KeyNews>) {
        let news = news.into_iter();
        let by_key = news.map(|news| (KeySelector::from(news.key.clone()), news));
        self.0.write().unwrap_or_else(poisoned).extend(by_key);
    }

    /// The state of an expected key; `None` before the first report.
    pub(in crate::hsm) fn state(&self, key: &KeySelector) -> Option<KeyState> {
        self.read().get(key).map(KeyNews::state)
    }

    /// The fault and the reason, if a proof rejected the key.
    pub(in crate::hsm) fn rejection(&self, key: &KeySelector) -> Option<(KeyManagerFault, String)> {
        let all = self.read();
        let (fault, reason) = all.get(key)?.rejection()?;
        Some((fault, reason.to_owned()))
    }
}
