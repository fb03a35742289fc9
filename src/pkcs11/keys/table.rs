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
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki_sys::{
    CKS_RO_PUBLIC_SESSION, CKS_RO_USER_FUNCTIONS, CKS_RW_PUBLIC_SESSION, CKS_RW_USER_FUNCTIONS,
};

use super::objects::Listed;
use crate::ekm::{KeyAttributes, KeyKind, KeySelector, KeyUsageFlags};
use crate::pkcs11::library::errors::Error;
use crate::pkcs11::library::ffi::Session;
use crate::sync::poisoned;

/// How long the table records a key as missing before it searches again. Short, so that a new key is found soon. Long enough that
/// requests for a missing key do not scan the token each time.
const ABSENCE_BELIEVED: Duration = Duration::from_secs(5);

/// How long attributes that do not permit a request are used before they are read again.
const UNFITNESS_BELIEVED: Duration = Duration::from_secs(1);

/// The handle and the attributes of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::pkcs11) struct KeyEntry {
    pub handle: ObjectHandle,
    pub attributes: KeyAttributes,
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
pub(in crate::pkcs11) enum Known {
    One(KeyEntry),
    Ambiguous,
    Absent,
}

/// The keys of an open token, by name.
#[derive(Default)]
pub(in crate::pkcs11) struct KeyTable {
    pub(in crate::pkcs11) known: RwLock<HashMap<KeySelector, (Known, Instant)>>,
    unreadable: Vec<(ObjectHandle, Error)>,
    /// Names for which a second key appeared after the key in use was found.
    pub(in crate::pkcs11) duplicated: RwLock<HashSet<KeySelector>>,
    /// Whether sessions must be logged in. If not, the token needs no login.
    expects_login: bool,
    has_changed: AtomicBool,
}

impl KeyTable {
    /// Reads all secret keys of the token. Omits keys that vanish during the listing or cannot be read.
    pub(in crate::pkcs11) fn sweep(session: &Session) -> Result<Self, Error> {
        let template = [Attribute::Class(ObjectClass::SECRET_KEY)];
        let listed = Listed::read(session, &template, &ATTRIBUTES)?;
        let listed = listed.unless_nothing_can_be_read()?;
        let mut known = HashMap::new();
        for (handle, attributes) in listed.readable {
            let entry = KeyEntry {
                handle,
                attributes: interpret(&attributes),
            };
            for selector in selectors(&attributes) {
                known
                    .entry(selector)
                    .and_modify(|slot: &mut (Known, Instant)| slot.0 = Known::Ambiguous)
                    .or_insert_with(|| (Known::One(entry.clone()), Instant::now()));
            }
        }
        Ok(Self {
            known: RwLock::new(known),
            unreadable: listed.unreadable,
            duplicated: RwLock::default(),
            expects_login: true,
            has_changed: AtomicBool::new(false),
        })
    }

    /// Sets whether sessions must be logged in.
    pub(in crate::pkcs11) fn expecting_login(self, expects_login: bool) -> Self {
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

    /// Whether the token has no readable secret key.
    pub(in crate::pkcs11) fn is_empty(&self) -> bool {
        self.known.read().unwrap_or_else(poisoned).is_empty()
    }

    /// Returns the key of the table. Searches the token if the table has no entry, or has recorded the key as missing some time ago.
    pub(in crate::pkcs11) fn find(
        &self,
        session: &Session,
        selector: &KeySelector,
    ) -> Result<KeyEntry, FindError> {
        let table = self.known.read().unwrap_or_else(poisoned);
        let known = table.get(selector).cloned();
        drop(table);
        match known {
            Some((Known::One(entry), _)) => Ok(entry),
            Some((unusable, since)) if since.elapsed() < ABSENCE_BELIEVED => outcome(unusable),
            _ => self.search(session, selector, None),
        }
    }

    /// Returns the key after its handle `stale` became invalid. Searches the token unless another thread has already found the key again.
    pub(in crate::pkcs11) fn find_again(
        &self,
        session: &Session,
        selector: &KeySelector,
        stale: ObjectHandle,
    ) -> Result<KeyEntry, FindError> {
        let table = self.known.read().unwrap_or_else(poisoned);
        let known = table.get(selector).cloned();
        drop(table);
        match known {
            Some((Known::One(entry), _)) if entry.handle != stale => Ok(entry),
            _ => self.search(session, selector, None),
        }
    }

    /// Whether the key was read so recently that it is not read again for another request.
    pub(in crate::pkcs11) fn is_just_read(&self, selector: &KeySelector) -> bool {
        let table = self.known.read().unwrap_or_else(poisoned);
        let known = table.get(selector);
        known.is_some_and(|(_, since)| since.elapsed() < UNFITNESS_BELIEVED)
    }

    /// Reads the attributes from the device and updates the table.
    pub(in crate::pkcs11) fn read_again(
        &self,
        session: &Session,
        selector: &KeySelector,
        handle: ObjectHandle,
    ) -> Result<KeyEntry, Error> {
        let attributes = interpret(&session.get_attributes(handle, &ATTRIBUTES)?);
        let entry = KeyEntry { handle, attributes };
        self.learn(selector, Known::One(entry.clone()));
        Ok(entry)
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
        let mut listed = Listed::read(session, &template, &ATTRIBUTES).map_err(FindError::Call)?;
        let unreadable = listed.unreadable.pop();
        match (listed.readable.as_slice(), unreadable) {
            ([found], None) => {
                self.mark_duplicated(selector, false);
                Ok(self.use_found(selector, found))
            }
            ([], Some((_, error))) if listed.unreadable.is_empty() => {
                Err(FindError::Unreadable(error))
            }
            ([], None) => {
                // Without a login some tokens return an empty list instead of an error.
                self.check_login(session).map_err(FindError::Call)?;
                self.learn(selector, Known::Absent);
                Err(FindError::Absent)
            }
            (several, _) => match several.iter().find(|found| Some(found.0) == in_use) {
                Some(found) => {
                    self.mark_duplicated(selector, true);
                    Ok(self.use_found(selector, found))
                }
                None => {
                    self.learn(selector, Known::Ambiguous);
                    Err(FindError::Ambiguous)
                }
            },
        }
    }

    fn use_found(
        &self,
        selector: &KeySelector,
        (handle, attributes): &(ObjectHandle, Vec<Attribute>),
    ) -> KeyEntry {
        let entry = KeyEntry {
            handle: *handle,
            attributes: interpret(attributes),
        };
        self.learn(selector, Known::One(entry.clone()));
        entry
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

    pub(in crate::pkcs11) fn learn(&self, selector: &KeySelector, known: Known) {
        let mut table = self.known.write().unwrap_or_else(poisoned);
        let presence = presence_of(&known);
        let former = table.insert(selector.clone(), (known, Instant::now()));
        if former.map(|(former, _)| presence_of(&former)) != Some(presence) {
            self.has_changed.store(true, Ordering::Release);
        }
    }

    /// Whether a key appeared, vanished or changed since [`Self::take_change`].
    pub(in crate::pkcs11) fn has_changed(&self) -> bool {
        self.has_changed.load(Ordering::Acquire)
    }

    /// Resets [`Self::has_changed`].
    pub(in crate::pkcs11) fn take_change(&self) {
        self.has_changed.store(false, Ordering::Release);
    }
}

/// The part of an entry that is reported to the front: the attributes, if the key exists.
fn presence_of(known: &Known) -> Option<KeyAttributes> {
    match known {
        Known::One(entry) => Some(entry.attributes.clone()),
        Known::Ambiguous | Known::Absent => None,
    }
}

fn outcome(known: Known) -> Result<KeyEntry, FindError> {
    match known {
        Known::One(entry) => Ok(entry),
        Known::Ambiguous => Err(FindError::Ambiguous),
        Known::Absent => Err(FindError::Absent),
    }
}

/// The attributes that are read of each key.
pub(in crate::pkcs11) const ATTRIBUTES: [AttributeType; 11] = [
    AttributeType::KeyType,
    AttributeType::ValueLen,
    AttributeType::Encrypt,
    AttributeType::Decrypt,
    AttributeType::Sign,
    AttributeType::Verify,
    AttributeType::Wrap,
    AttributeType::Unwrap,
    AttributeType::Derive,
    AttributeType::Label,
    AttributeType::Id,
];

/// Returns the names of a key with these attributes.
pub(in crate::pkcs11) fn selectors(attributes: &[Attribute]) -> Vec<KeySelector> {
    let of = |attribute: &Attribute| match attribute {
        Attribute::Label(label) if !label.is_empty() => {
            let label = String::from_utf8(label.clone()).ok()?;
            Some(KeySelector::Label(label))
        }
        Attribute::Id(id) if !id.is_empty() => Some(KeySelector::Id(id.clone())),
        _ => None,
    };
    attributes.iter().filter_map(of).collect()
}

/// Returns the attribute with this name.
pub(in crate::pkcs11) fn attribute_of(selector: &KeySelector) -> Attribute {
    match selector {
        KeySelector::Label(label) => Attribute::Label(label.clone().into_bytes()),
        KeySelector::Id(id) => Attribute::Id(id.clone()),
    }
}

/// Derives kind and usage of a key from its attributes.
pub(in crate::pkcs11) fn interpret(attributes: &[Attribute]) -> KeyAttributes {
    let mut usage = KeyUsageFlags::default();
    let (mut key_type, mut length) = (None, 0);
    for attribute in attributes {
        match *attribute {
            Attribute::KeyType(value) => key_type = Some(value),
            Attribute::ValueLen(value) => length = u32::try_from(*value).unwrap_or(0),
            Attribute::Encrypt(value) => usage.encrypt = value,
            Attribute::Decrypt(value) => usage.decrypt = value,
            Attribute::Sign(value) => usage.sign = value,
            Attribute::Verify(value) => usage.verify = value,
            Attribute::Wrap(value) => usage.wrap = value,
            Attribute::Unwrap(value) => usage.unwrap = value,
            Attribute::Derive(value) => usage.derive = value,
            _ => {}
        }
    }
    let kind = match key_type {
        Some(KeyType::AES) => KeyKind::Aes(length.saturating_mul(8)),
        Some(other) => KeyKind::Other(other.to_string().trim_start_matches("CKK_").to_owned()),
        None => KeyKind::Other("UNKNOWN".to_owned()),
    };
    KeyAttributes { kind, usage }
}
