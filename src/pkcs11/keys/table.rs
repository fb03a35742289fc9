//! A cache of the key handles and attributes of an open token.
//!
//! On some devices a search scans the whole token. Therefore all keys are read once when the token is opened. A single key is searched
//! for only if it was created later or its handle is stale.

use std::collections::{HashMap, HashSet};
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cryptoki::context::Function;
use cryptoki::error::RvError;
use cryptoki::object::{Attribute, ObjectClass, ObjectHandle};
use cryptoki_sys::{
    CKS_RO_PUBLIC_SESSION, CKS_RO_USER_FUNCTIONS, CKS_RW_PUBLIC_SESSION, CKS_RW_USER_FUNCTIONS,
};

use super::attributes::{ATTRIBUTES, attribute_of, interpret, selectors};
use super::objects::ObjectList;
use crate::ekm::{KeyAttributes, KeySelector};
use crate::pkcs11::library::errors::Error;
use crate::pkcs11::library::ffi::Session;
use crate::sync::poisoned;

/// How long the table records a key as missing before it searches again. Short, so that a new key is found soon. Long enough that
/// requests for a missing key do not scan the token each time.
const ABSENCE_VALID_FOR: Duration = Duration::from_secs(5);

/// How long attributes that do not permit a request are used before they are read again.
const UNFITNESS_VALID_FOR: Duration = Duration::from_secs(1);

/// The handle and the attributes of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::pkcs11) struct KeyEntry {
    pub handle: ObjectHandle,
    pub attributes: KeyAttributes,
}

impl KeyEntry {
    /// `attributes` are those of [`ATTRIBUTES`].
    pub(in crate::pkcs11) fn new(handle: ObjectHandle, attributes: &[Attribute]) -> Self {
        Self {
            handle,
            attributes: interpret(attributes),
        }
    }
}

/// Why a key was not found.
#[derive(Debug)]
pub(in crate::pkcs11) enum FindError {
    Absent,
    Ambiguous,
    /// The token has the key, but it cannot be read.
    Unreadable(Error),
    Call(Error),
}

/// The result of the last search for a name.
#[derive(Clone, Debug)]
pub(in crate::pkcs11) enum KnownKey {
    One(KeyEntry),
    Ambiguous,
    Absent,
}

/// The keys of an open token, by name.
#[derive(Default)]
pub(in crate::pkcs11) struct KeyTable {
    /// Each name with the result of the last search for it, and the time of that search.
    pub(in crate::pkcs11) known: RwLock<HashMap<KeySelector, (KnownKey, Instant)>>,
    unreadable: Vec<(ObjectHandle, Error)>,
    /// Names for which a second key appeared after the key in use was found.
    pub(in crate::pkcs11) duplicated: RwLock<HashSet<KeySelector>>,
    /// True if sessions must be logged in. If not, the token needs no login.
    expects_login: bool,
    has_changed: AtomicBool,
}

impl KeyTable {
    /// Reads all secret keys of the token. Omits keys that vanish during the listing or cannot be read.
    pub(in crate::pkcs11) fn read_all(session: &Session) -> Result<Self, Error> {
        let template = [Attribute::Class(ObjectClass::SECRET_KEY)];
        let list = ObjectList::read(session, &template, &ATTRIBUTES)?;
        let list = list.unless_unreadable()?;
        let mut known = HashMap::new();
        for (handle, attributes) in list.readable {
            let entry = KeyEntry::new(handle, &attributes);
            for selector in selectors(&attributes) {
                known
                    .entry(selector)
                    .and_modify(|slot: &mut (KnownKey, Instant)| slot.0 = KnownKey::Ambiguous)
                    .or_insert_with(|| (KnownKey::One(entry.clone()), Instant::now()));
            }
        }
        Ok(Self {
            known: RwLock::new(known),
            unreadable: list.unreadable,
            duplicated: RwLock::default(),
            expects_login: true,
            has_changed: AtomicBool::new(false),
        })
    }

    /// Sets whether sessions must be logged in.
    pub(in crate::pkcs11) fn with_login_expected(self, expects_login: bool) -> Self {
        Self {
            expects_login,
            ..self
        }
    }

    /// Logs the number of keys that could not be read, and the error of the first one.
    pub(in crate::pkcs11) fn log_unreadable(&self, hsm: &str) {
        if let Some((handle, error)) = self.unreadable.first() {
            let (keys, first) = (self.unreadable.len(), handle.handle());
            tracing::warn!(%hsm, keys, first, %error, "some keys of the token cannot be read; they are left out");
        }
    }

    /// Returns whether the token has no readable secret key.
    pub(in crate::pkcs11) fn is_empty(&self) -> bool {
        self.known.read().unwrap_or_else(poisoned).is_empty()
    }

    /// Returns the key of the table. Searches the token if the table has no entry, or has recorded the key as missing some time ago.
    pub(in crate::pkcs11) fn find(
        &self,
        session: &Session,
        selector: &KeySelector,
    ) -> Result<KeyEntry, FindError> {
        match self.entry(selector) {
            Some((KnownKey::One(entry), _)) => Ok(entry),
            Some((unusable, since)) if since.elapsed() < ABSENCE_VALID_FOR => outcome(unusable),
            _ => self.search(session, selector, None),
        }
    }

    /// Returns the key after its handle `stale` became invalid. Searches the token unless another thread has already found the key again.
    pub(in crate::pkcs11) fn find_replacement(
        &self,
        session: &Session,
        selector: &KeySelector,
        stale: ObjectHandle,
    ) -> Result<KeyEntry, FindError> {
        match self.entry(selector) {
            Some((KnownKey::One(entry), _)) if entry.handle != stale => Ok(entry),
            _ => self.search(session, selector, None),
        }
    }

    /// Returns whether the key was read so recently that it is not read again for another request.
    pub(in crate::pkcs11) fn is_just_read(&self, selector: &KeySelector) -> bool {
        let known = self.entry(selector);
        known.is_some_and(|(_, since)| since.elapsed() < UNFITNESS_VALID_FOR)
    }

    /// Reads the attributes from the device and updates the table.
    pub(in crate::pkcs11) fn read_again(
        &self,
        session: &Session,
        selector: &KeySelector,
        handle: ObjectHandle,
    ) -> Result<KeyEntry, Error> {
        let attributes = session.get_attributes(handle, &ATTRIBUTES)?;
        Ok(self.use_found(selector, handle, &attributes))
    }

    /// Searches for the key and updates the table. If there are several, the one with the handle `in_use` stays in use.
    pub(in crate::pkcs11) fn search(
        &self,
        session: &Session,
        selector: &KeySelector,
        in_use: Option<ObjectHandle>,
    ) -> Result<KeyEntry, FindError> {
        let template = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            attribute_of(selector),
        ];
        let mut list =
            ObjectList::read(session, &template, &ATTRIBUTES).map_err(FindError::Call)?;
        let unreadable = list.unreadable.pop();
        match (list.readable.as_slice(), unreadable) {
            ([(handle, attributes)], None) => {
                self.mark_duplicated(selector, false);
                Ok(self.use_found(selector, *handle, attributes))
            }
            ([], Some((_, error))) if list.unreadable.is_empty() => {
                Err(FindError::Unreadable(error))
            }
            ([], None) => {
                // Without a login some tokens return an empty list instead of an error.
                self.check_login(session).map_err(FindError::Call)?;
                self.store(selector, KnownKey::Absent);
                Err(FindError::Absent)
            }
            (several, _) => match several.iter().find(|found| Some(found.0) == in_use) {
                Some((handle, attributes)) => {
                    self.mark_duplicated(selector, true);
                    Ok(self.use_found(selector, *handle, attributes))
                }
                None => {
                    self.store(selector, KnownKey::Ambiguous);
                    Err(FindError::Ambiguous)
                }
            },
        }
    }

    /// Stores a key that was read, and returns its entry.
    pub(in crate::pkcs11) fn use_found(
        &self,
        selector: &KeySelector,
        handle: ObjectHandle,
        attributes: &[Attribute],
    ) -> KeyEntry {
        let entry = KeyEntry::new(handle, attributes);
        self.store(selector, KnownKey::One(entry.clone()));
        entry
    }

    /// The entry of this name, with the time when it was stored.
    pub(in crate::pkcs11) fn entry(&self, selector: &KeySelector) -> Option<(KnownKey, Instant)> {
        let table = self.known.read().unwrap_or_else(poisoned);
        table.get(selector).cloned()
    }

    fn mark_duplicated(&self, selector: &KeySelector, is_duplicated: bool) {
        let mut duplicated = self.duplicated.write().unwrap_or_else(poisoned);
        match is_duplicated {
            true => duplicated.insert(selector.clone()),
            false => duplicated.remove(selector),
        };
    }

    fn check_login(&self, session: &Session) -> Result<(), Error> {
        match session.state()? {
            CKS_RO_USER_FUNCTIONS | CKS_RW_USER_FUNCTIONS => Ok(()),
            CKS_RO_PUBLIC_SESSION | CKS_RW_PUBLIC_SESSION if !self.expects_login => Ok(()),
            _ => Err(Error::Pkcs11(
                RvError::UserNotLoggedIn,
                Function::FindObjects,
            )),
        }
    }

    /// Stores the result of a search.
    fn store(&self, selector: &KeySelector, known: KnownKey) {
        let mut table = self.known.write().unwrap_or_else(poisoned);
        let presence = presence_of(&known);
        let former = table.insert(selector.clone(), (known, Instant::now()));
        if former.map(|(former, _)| presence_of(&former)) != Some(presence) {
            self.has_changed.store(true, Ordering::Release);
        }
    }

    /// Returns whether a key appeared, vanished or changed since [`Self::take_change`].
    pub(in crate::pkcs11) fn has_changed(&self) -> bool {
        self.has_changed.load(Ordering::Acquire)
    }

    /// Resets [`Self::has_changed`].
    pub(in crate::pkcs11) fn take_change(&self) {
        self.has_changed.store(false, Ordering::Release);
    }
}

/// The part of an entry that is reported to the front: the attributes, if the key exists.
fn presence_of(known: &KnownKey) -> Option<KeyAttributes> {
    match known {
        KnownKey::One(entry) => Some(entry.attributes.clone()),
        KnownKey::Ambiguous | KnownKey::Absent => None,
    }
}

fn outcome(known: KnownKey) -> Result<KeyEntry, FindError> {
    match known {
        KnownKey::One(entry) => Ok(entry),
        KnownKey::Ambiguous => Err(FindError::Ambiguous),
        KnownKey::Absent => Err(FindError::Absent),
    }
}
