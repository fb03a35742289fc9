//! What the front wants to know of the expected keys, reported when it changes.

use std::collections::HashMap;
use std::sync::Arc;

use super::key_looks::Presence;
use super::keys::KeyTable;
use super::shared::Shared;
use crate::ekm::{KeyKind, KeySelector, KeyState};
use crate::hsm_protocol::{KeyNews, News};

/// The last report on each key.
#[derive(Default)]
pub(super) struct KeyStates(HashMap<Arc<KeySelector>, KeyNews>);

impl KeyStates {
    /// Reports the keys whose state has changed.
    pub(super) fn report(&mut self, shared: &Shared, keys: &KeyTable) {
        let expected = shared.watch_list.now();
        let mut changed = Vec::new();
        for key in expected.iter() {
            let news = news(shared, keys, &key.selector);
            if self.0.get(&key.selector) != Some(&news) {
                self.0.insert(Arc::clone(&key.selector), news.clone());
                changed.push(news);
            }
        }
        if self.0.len() > expected.len() {
            self.0
                .retain(|known, _| expected.iter().any(|key| key.selector == *known));
        }
        News::of_keys(&changed).for_each(|news| shared.report(news));
    }
}

fn news(shared: &Shared, keys: &KeyTable, selector: &KeySelector) -> KeyNews {
    let rejection = shared.rejections.of(selector);
    let state = match keys.presence(selector) {
        Presence::None | Presence::Several => KeyState::Missing,
        Presence::One(key, is_duplicated) => {
            let works = key.attributes.kind == KeyKind::Aes(256) && rejection.is_none();
            KeyState::Present {
                encrypts: works && key.attributes.usage.encrypt,
                decrypts: works && key.attributes.usage.decrypt,
                is_duplicated,
            }
        }
    };
    let rejection = rejection.as_deref();
    let rejection = rejection.map(|rejection| (rejection.fault, rejection.reason.as_str()));
    KeyNews::new(selector, state, rejection)
}
