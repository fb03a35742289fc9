//! Lists the keys of a token for operators.

use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};

use super::open_token::{AdministrationError, OpenToken};
use crate::ekm::KeySelector;
use crate::hsm_protocol::{KeyProtection, TokenKey};
use crate::pkcs11::keys::attributes::{self, attribute_of, interpret};
use crate::pkcs11::keys::objects::{self, ObjectList};
use crate::pkcs11::library::errors::Error;

/// A secret key of a token, with its handle.
#[derive(Clone, Debug)]
pub struct KeyObject {
    /// The properties of the key.
    pub key: TokenKey,
    pub(super) handle: ObjectHandle,
}

/// The secret keys of a token.
#[derive(Debug)]
pub struct TokenKeys {
    /// The keys that can be read.
    pub keys: Vec<KeyObject>,
    /// The number of keys that cannot be read, and the first error. Each of them may be the key that is searched for.
    pub unreadable: Option<AdministrationError>,
}

/// The attributes that only operators need.
const PROTECTION: [AttributeType; 5] = [
    AttributeType::Sensitive,
    AttributeType::Extractable,
    AttributeType::AlwaysSensitive,
    AttributeType::NeverExtractable,
    AttributeType::Local,
];

impl OpenToken {
    /// Returns all secret keys of the token that can be read.
    ///
    /// # Errors
    /// When the token fails.
    pub fn keys(&self) -> Result<Vec<KeyObject>, AdministrationError> {
        Ok(self.list_keys()?.keys)
    }

    /// Returns the secret keys of the token, and whether some cannot be read.
    ///
    /// # Errors
    /// When the token fails.
    pub fn list_keys(&self) -> Result<TokenKeys, AdministrationError> {
        let template = [Attribute::Class(ObjectClass::SECRET_KEY)];
        let list = ObjectList::read(&self.session, &template, &attributes::ATTRIBUTES)?;
        let list = list.unless_unreadable()?;
        let read = |(handle, attributes)| self.read(handle, attributes);
        let unreadable = list.unreadable.first().map(|(handle, error)| {
            let count = list.unreadable.len();
            AdministrationError(format!(
                "keys of the token that cannot be read: {count}; the first one has handle {handle}: {error}"
            ))
        });
        Ok(TokenKeys {
            keys: list.readable.into_iter().map(read).collect(),
            unreadable,
        })
    }

    /// Returns whether the token may have a key of this name: it has one, possibly not readable, or the search failed.
    pub fn may_have(&self, name: &KeySelector) -> bool {
        self.search(name).map_or(true, |found| !found.is_empty())
    }

    /// Finds the keys of this name, also those that cannot be read.
    pub(super) fn search(&self, name: &KeySelector) -> Result<Vec<ObjectHandle>, Error> {
        let class = Attribute::Class(ObjectClass::SECRET_KEY);
        objects::search(&self.session, &[class, attribute_of(name)])
    }

    fn read(&self, handle: ObjectHandle, mut attributes: Vec<Attribute>) -> KeyObject {
        let mut key = TokenKey {
            number: handle.handle(),
            label: None,
            id: Vec::new(),
            attributes: interpret(&attributes),
            protection: KeyProtection::default(),
        };
        // In a separate call: a device that does not support one of these may reject the call, and must not hide the other attributes.
        let protection = self.session.get_attributes(handle, &PROTECTION);
        attributes.extend(protection.unwrap_or_default());
        for attribute in attributes {
            learn(&mut key, attribute);
        }
        KeyObject { key, handle }
    }
}

fn learn(key: &mut TokenKey, attribute: Attribute) {
    let protection = &mut key.protection;
    match attribute {
        Attribute::Label(label) => key.label = String::from_utf8(label).ok(),
        Attribute::Id(id) => key.id = id,
        Attribute::Sensitive(value) => protection.sensitive = Some(value),
        Attribute::Extractable(value) => protection.extractable = Some(value),
        Attribute::AlwaysSensitive(value) => protection.always_sensitive = Some(value),
        Attribute::NeverExtractable(value) => protection.never_extractable = Some(value),
        Attribute::Local(value) => protection.local = Some(value),
        _ => {}
    }
}
