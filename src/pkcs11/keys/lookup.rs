//! Reads of the health monitor: it updates keys of the table and detects further keys of the same name.

use std::collections::HashSet;
use std::time::Instant;

use cryptoki::object::ObjectHandle;

use super::attributes::{ATTRIBUTES, selectors};
use super::table::{FindError, KeyEntry, KeyTable, KnownKey};
use crate::ekm::KeySelector;
use crate::pkcs11::library::ffi::Session;
use crate::sync::poisoned;

/// The presence of a key on the token, according to the table.
#[derive(Debug)]
pub(in crate::pkcs11) enum Presence {
    None,
    /// The token has several keys of this name, and none of them is used.
    Several,
    /// The key in use. The flag is set if another key has got the same name since then.
    One(KeyEntry, bool),
}

impl KeyTable {
    /// Returns the entry of the table, without a call of the token.
    pub(in crate::pkcs11) fn presence(&self, selector: &KeySelector) -> Presence {
        let table = self.known.read().unwrap_or_else(poisoned);
        match table.get(selector) {
            Some((KnownKey::One(entry), _)) => {
                let duplicated = self.duplicated.read().unwrap_or_else(poisoned);
                Presence::One(entry.clone(), duplicated.contains(selector))
            }
            Some((KnownKey::Ambiguous, _)) => Presence::Several,
            Some((KnownKey::Absent, _)) | None => Presence::None,
        }
    }

    /// Reads a key of the table again. Searches for the key if its handle is stale or its name has changed.
    pub(in crate::pkcs11) fn reread(
        &self,
        session: &Session,
        selector: &KeySelector,
    ) -> Option<KeyEntry> {
        let handle = self.handle(selector)?;
        if let Ok(attributes) = session.get_attributes(handle, &ATTRIBUTES)
            && selectors(&attributes).contains(selector)
        {
            return Some(self.use_found(selector, handle, &attributes));
        }
        self.search_again(session, selector).ok()
    }

    /// Searches for the key. If there are several, the key of the table stays in use.
    pub(in crate::pkcs11) fn search_again(
        &self,
        session: &Session,
        selector: &KeySelector,
    ) -> Result<KeyEntry, FindError> {
        self.search(session, selector, self.handle(selector))
    }

    /// Reads a key that is new on the token, and updates the table if the table has its name.
    pub(in crate::pkcs11) fn read_new(&self, session: &Session, handle: ObjectHandle) {
        // The key may be deleted again, or not readable.
        let read = session.get_attributes(handle, &ATTRIBUTES);
        for selector in selectors(&read.unwrap_or_default()) {
            if self.entry(&selector).is_some() {
                drop(self.search_again(session, &selector));
            }
        }
    }

    /// Returns the handles of all keys in the table.
    pub(in crate::pkcs11) fn handles(&self) -> HashSet<u64> {
        let table = self.known.read().unwrap_or_else(poisoned);
        let handle = |(known, _): &(KnownKey, Instant)| match known {
            KnownKey::One(entry) => Some(entry.handle.handle()),
            KnownKey::Ambiguous | KnownKey::Absent => None,
        };
        table.values().filter_map(handle).collect()
    }

    /// Returns the names that several keys have.
    pub(in crate::pkcs11) fn duplicated(&self) -> HashSet<KeySelector> {
        self.duplicated.read().unwrap_or_else(poisoned).clone()
    }

    fn handle(&self, selector: &KeySelector) -> Option<ObjectHandle> {
        match self.presence(selector) {
            Presence::One(entry, _) => Some(entry.handle),
            Presence::None | Presence::Several => None,
        }
    }
}
