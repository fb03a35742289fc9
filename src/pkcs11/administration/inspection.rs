//! The keys of a token with all that an operator may want to know of them.

use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};

use super::open_token::{AdministrationError, OpenToken};
use crate::ekm::KeySelector;
use crate::hsm_protocol::{KeyProtection, TokenKey};
use crate::pkcs11::keys::objects::{self, Listed};
use crate::pkcs11::keys::table;
use crate::pkcs11::library::errors::Error;

/// A secret key of a token, with its handle.
#[derive(Clone, Debug)]
pub struct KeyObject {
    /// What is known of it.
    pub key: TokenKey,
    pub(super) handle: ObjectHandle,
}

/// The secret keys of a token.
#[derive(Debug)]
pub struct TokenKeys {
    /// Those that can be read.
    pub keys: Vec<KeyObject>,
    /// How many cannot be read, and why. Each of them may be the key that is looked for.
    pub unreadable: Option<AdministrationError>,
}

/// What is read of a key besides what the proxy itself wants to know.
const PROTECTION: [AttributeType; 5] = [
    AttributeType::Sensitive,
    AttributeType::Extractable,
    AttributeType::AlwaysSensitive,
    AttributeType::NeverExtractable,
    AttributeType::Local,
];

impl OpenToken {
    /// Every secret key of the token that can be read.
    ///
    /// # Errors
    /// When the token fails.
    pub fn keys(&self) -> Result<Vec<KeyObject>, AdministrationError> {
        Ok(self.list_keys()?.keys)
    }

    /// The secret keys of the token, and whether some cannot be read.
    ///
    /// # Errors
    /// When the token fails.
    pub fn list_keys(&self) -> Result<TokenKeys, AdministrationError> {
        let template = [Attribute::Class(ObjectClass::SECRET_KEY)];
        let listed = Listed::read(&self.session, &template, &table::ATTRIBUTES)?;
        let listed = listed.unless_nothing_can_be_read()?;
        let read = |(handle, attributes)| self.read(handle, attributes);
        let unreadable = listed.unreadable.first().map(|(handle, error)| {
            let count = listed.unreadable.len();
            AdministrationError(format!(
                "keys of the token that cannot be read: {count}; the first one has handle {handle}: {error}"
            ))
        });
        Ok(TokenKeys {
            keys: listed.readable.into_iter().map(read).collect(),
            unreadable,
        })
    }

    /// Whether the token has a key of this name, perhaps one that cannot be read. A search that fails shows nothing.
    pub fn may_have(&self, name: &KeySelector) -> bool {
        self.search(name).map_or(true, |found| !found.is_empty())
    }

    /// The keys of this name, also those that cannot be read.
    pub(super) fn search(&self, name: &KeySelector) -> Result<Vec<ObjectHandle>, Error> {
        let class = Attribute::Class(ObjectClass::SECRET_KEY);
        objects::search(&self.session, &[class, table::attribute_of(name)])
    }

    fn read(&self, handle: ObjectHandle, mut attributes: Vec<Attribute>) -> KeyObject {
        let mut key = TokenKey {
            number: handle.handle(),
            label: None,
            id: Vec::new(),
            attributes: table::interpret(&attributes),
            protection: KeyProtection::default(),
        };
        // By themselves: a device that knows one of these not at all must still be asked for the rest, and a key whose protection
        // cannot be read is still a key.
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
