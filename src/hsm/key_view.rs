//! What the worker that serves has reported about keys.

use std::collections::HashMap;
use std::sync::{RwLock, RwLockReadGuard};

use crate::ekm::{KeyManagerFault, KeySelector, KeyState};
use crate::hsm_protocol::KeyNews;
use crate::sync::poisoned;

/// The keys of one worker. The reader of the control channel alone writes, and only when a key has changed.
#[derive(Default)]
pub(super) struct KeyView(RwLock<HashMap<KeySelector, KeyNews>>);

impl KeyView {
    fn read(&self) -> RwLockReadGuard<'_, HashMap<KeySelector, KeyNews>> {
        self.0.read().unwrap_or_else(poisoned)
    }

    /// Replaces what was known of these keys.
    pub(super) fn learn(&self, news: Vec<KeyNews>) {
        let news = news.into_iter();
        let by_key = news.map(|news| (KeySelector::from(news.key.clone()), news));
        self.0.write().unwrap_or_else(poisoned).extend(by_key);
    }

    /// The state of an expected key; none while nothing is known.
    pub(super) fn state(&self, key: &KeySelector) -> Option<KeyState> {
        self.read().get(key).map(KeyNews::state)
    }

    /// Why a proof rejected the key, if one did.
    pub(super) fn rejection(&self, key: &KeySelector) -> Option<(KeyManagerFault, String)> {
        let all = self.read();
        let (fault, reason) = all.get(key)?.rejection()?;
        Some((fault, reason.to_owned()))
    }
}
