//! Reports the states of the expected keys to the front when they change.

use std::collections::HashMap;
use std::sync::Arc;

use crate::ekm::{KeyKind, KeySelector, KeyState};
use crate::hsm_protocol::{KeyNews, News};
use crate::pkcs11::keys::lookup::Presence;
use crate::pkcs11::keys::table::KeyTable;
use crate::pkcs11::worker_state::WorkerState;

/// The last report on each key.
#[derive(Default)]
pub(in crate::pkcs11) struct KeyStates(HashMap<Arc<KeySelector>, KeyNews>);

impl KeyStates {
    /// Reports the keys whose state has changed.
    pub(in crate::pkcs11) fn report(&mut self, worker: &WorkerState, keys: &KeyTable) {
        let expected = worker.watch_list.now();
        let mut changed = Vec::new();
        for key in expected.iter() {
            let news = news(worker, keys, &key.selector);
            if self.0.get(&key.selector) != Some(&news) {
                self.0.insert(Arc::clone(&key.selector), news.clone());
                changed.push(news);
            }
        }
        if self.0.len() > expected.len() {
            self.0
                .retain(|known, _| expected.iter().any(|key| key.selector == *known));
        }
        News::of_keys(&changed).for_each(|news| worker.report(news));
    }
}

fn news(worker: &WorkerState, keys: &KeyTable, selector: &KeySelector) -> KeyNews {
    let rejection = worker.rejections.of(selector);
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
