//! Key handles and attributes of an open token: found once, then kept.
//!
//! Finding an object costs a scan of the whole token on some devices, so all keys are read in one sweep when the token is
//! opened; single searches happen for keys that came later and for handles that went stale.

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

/// How long "there is no such key" is believed: short, so that a new key is soon seen, but long enough that asking for a
/// missing key does not scan the token each time.
const ABSENCE_BELIEVED: Duration = Duration::from_secs(5);

/// How long attributes that rule a request out are believed: many requests for an unfit key must not read it many times.
const UNFITNESS_BELIEVED: Duration = Duration::from_secs(1);

/// A key of the token.
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
    /// The token has it, but does not let it be read.
    Unreadable(Error),
    Call(Error),
}

/// What the table has of a name.
#[derive(Clone, Debug)]
pub(in crate::pkcs11) enum Known {
    One(KeyEntry),
    Ambiguous,
    Absent,
}

/// What is known of the token's keys.
#[derive(Default)]
pub(in crate::pkcs11) struct KeyTable {
    pub(in crate::pkcs11) known: RwLock<HashMap<KeySelector, (Known, Instant)>>,
    unreadable: Vec<(ObjectHandle, Error)>,
    /// Names that another key has, too, since the key that is used was found.
    pub(in crate::pkcs11) duplicated: RwLock<HashSet<KeySelector>>,
    /// Whether sessions must be logged in: if not, the token has no login.
    expects_login: bool,
    has_changed: AtomicBool,
}

impl KeyTable {
    /// Reads every secret key of the token. Keys that vanish meanwhile or cannot be read are left out.
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

    /// The same for sessions that are logged in, or for a token without a login.
    pub(in crate::pkcs11) fn expecting_login(self, expects_login: bool) -> Self {
        Self {
            expects_login,
            ..self
        }
    }

    /// Logs how many keys the sweep could not read, and why the first of them.
    pub(in crate::pkcs11) fn log_unreadable(&self, hsm: &str) {
        if let Some((handle, error)) = self.unreadable.first() {
            let (keys, first) = (self.unreadable.len(), handle.handle());
            tracing::warn!(%hsm, keys, first, %error, "some keys of the token cannot be read; they are left out");
        }
    }

    /// Whether the token holds no secret key at all.
    pub(in crate::pkcs11) fn is_empty(&self) -> bool {
        self.known.read().unwrap_or_else(poisoned).is_empty()
    }

    /// The key, from the table; searched for only when the table does not have it, or has not had it for a while.
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

    /// The key, when `stale` was its handle: from the table if another thread has found it anew, else searched for.
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

    /// Whether the key was read so recently that reading it again for another request is not worth a call.
    pub(in crate::pkcs11) fn is_just_read(&self, selector: &KeySelector) -> bool {
        let table = self.known.read().unwrap_or_else(poisoned);
        let known = table.get(selector);
        known.is_some_and(|(_, since)| since.elapsed() < UNFITNESS_BELIEVED)
    }

    /// The key's attributes as the device has them now; the table learns them.
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

    /// Searches for the key. When there are several, the one with the handle `in_use` stays in use.
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
                // Without a login some tokens find nothing instead of failing: "absent" must be sure before it is said.
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

    /// Whether a key came, went or changed since [`Self::take_change`].
    pub(in crate::pkcs11) fn has_changed(&self) -> bool {
        self.has_changed.load(Ordering::Acquire)
    }

    /// Forgets the change.
    pub(in crate::pkcs11) fn take_change(&self) {
        self.has_changed.store(false, Ordering::Release);
    }
}

/// What the front knows of a key: its attributes, if there is one.
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

/// What is read of a key.
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

/// By what a key can be found.
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

/// The attribute that a key of this name has.
pub(in crate::pkcs11) fn attribute_of(selector: &KeySelector) -> Attribute {
    match selector {
        KeySelector::Label(label) => Attribute::Label(label.clone().into_bytes()),
        KeySelector::Id(id) => Attribute::Id(id.clone()),
    }
}

/// What attributes say of a key's kind and usage.
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
