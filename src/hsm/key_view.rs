//! What the worker that serves has reported about keys.

use std::collections::HashMap;

use arc_swap::ArcSwap;

use crate::ekm::{KeyManagerFault, KeySelector, KeyState};
use crate::hsm_protocol::KeyNews;

/// The keys of one worker. Requests read it without a lock; the reader of the control channel alone writes.
#[derive(Default)]
pub(super) struct KeyView(ArcSwap<HashMap<KeySelector, KeyNews>>);

impl KeyView {
    /// Takes news in.
    pub(super) fn learn(&self, news: Vec<KeyNews>) {
        let mut all = HashMap::clone(&self.0.load());
        all.extend(
            news.into_iter()
                .map(|news| (KeySelector::from(news.key.clone()), news)),
        );
        self.0.store(all.into());
    }

    /// The state of an expected key; none while nothing is known.
    pub(super) fn state(&self, key: &KeySelector) -> Option<KeyState> {
        self.0.load().get(key).map(KeyNews::state)
    }

    /// Why a proof rejected the key, if one did.
    pub(super) fn rejection(&self, key: &KeySelector) -> Option<(KeyManagerFault, String)> {
        let all = self.0.load();
        let (fault, reason) = all.get(key)?.rejection()?;
        Some((fault, reason.to_owned()))
    }
}
