//! How the health monitor looks at keys of the table: again, and for others of the same name.

use std::collections::HashSet;
use std::time::Instant;

use cryptoki::object::ObjectHandle;

use super::table::{ATTRIBUTES, FindError, KeyEntry, KeyTable, Known, interpret, selectors};
use crate::ekm::KeySelector;
use crate::pkcs11::library::ffi::Session;
use crate::sync::poisoned;

/// How a token has a key, as far as is known.
#[derive(Debug)]
pub(in crate::pkcs11) enum Presence {
    None,
    /// Several, of which none is used.
    Several,
    /// One; or the one that was known before another key was given its name.
    One(KeyEntry, bool),
}

impl KeyTable {
    /// How the token has the key, as far as is known.
    pub(in crate::pkcs11) fn presence(&self, selector: &KeySelector) -> Presence {
        let table = self.known.read().unwrap_or_else(poisoned);
        match table.get(selector) {
            Some((Known::One(entry), _)) => {
                let duplicated = self.duplicated.read().unwrap_or_else(poisoned);
                Presence::One(entry.clone(), duplicated.contains(selector))
            }
            Some((Known::Ambiguous, _)) => Presence::Several,
            Some((Known::Absent, _)) | None => Presence::None,
        }
    }

    /// The key as the device has it now, if the table has it: searched for again when its handle is stale or its name has changed.
    pub(in crate::pkcs11) fn look_again(
        &self,
        session: &Session,
        selector: &KeySelector,
    ) -> Option<KeyEntry> {
        let handle = self.handle(selector)?;
        if let Ok(attributes) = session.get_attributes(handle, &ATTRIBUTES)
            && selectors(&attributes).contains(selector)
        {
            let attributes = interpret(&attributes);
            let entry = KeyEntry { handle, attributes };
            self.learn(selector, Known::One(entry.clone()));
            return Some(entry);
        }
        self.look_for(session, selector).ok()
    }

    /// Searches for the key. The one that the table has stays in use when there are several.
    pub(in crate::pkcs11) fn look_for(
        &self,
        session: &Session,
        selector: &KeySelector,
    ) -> Result<KeyEntry, FindError> {
        self.search(session, selector, self.handle(selector))
    }

    /// Looks at a key that is new on the token: it may have a name that the table knows.
    pub(in crate::pkcs11) fn meet(&self, session: &Session, handle: ObjectHandle) {
        // It may be gone again, or not be readable for us.
        let read = session.get_attributes(handle, &ATTRIBUTES);
        for selector in selectors(&read.unwrap_or_default()) {
            let table = self.known.read().unwrap_or_else(poisoned);
            let is_known = table.contains_key(&selector);
            drop(table);
            if is_known {
                drop(self.look_for(session, &selector));
            }
        }
    }

    /// The handle of every key in the table.
    pub(in crate::pkcs11) fn handles(&self) -> HashSet<u64> {
        let table = self.known.read().unwrap_or_else(poisoned);
        let handle = |(known, _): &(Known, Instant)| match known {
            Known::One(entry) => Some(entry.handle.handle()),
            Known::Ambiguous | Known::Absent => None,
        };
        table.values().filter_map(handle).collect()
    }

    /// Names that another key has, too.
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
