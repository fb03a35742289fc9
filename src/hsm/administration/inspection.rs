//! The keys of a token with all that an operator may want to know of them.

use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};

use super::{AdministrationError, OpenToken};
use crate::ekm::{KeyAttributes, KeyKind, KeySelector};
use crate::hsm::errors::Error;
use crate::hsm::keys;
use crate::hsm::objects::{self, Listed};

/// A secret key of a token.
#[derive(Clone, Debug)]
pub struct TokenKey {
    /// `CKA_LABEL`, when it is a text.
    pub label: Option<String>,
    /// `CKA_ID`, possibly empty.
    pub id: Vec<u8>,
    /// What it is and may do.
    pub attributes: KeyAttributes,
    /// How well its value is kept.
    pub protection: KeyProtection,
    pub(super) handle: ObjectHandle,
}

/// How well a key's value is kept, by the attributes of these names. None: the device does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyProtection {
    /// `CKA_SENSITIVE`: its value is never shown in plain.
    pub sensitive: Option<bool>,
    /// `CKA_EXTRACTABLE`: its value may leave the device, wrapped.
    pub extractable: Option<bool>,
    /// `CKA_ALWAYS_SENSITIVE`: it has been sensitive since it was made.
    pub always_sensitive: Option<bool>,
    /// `CKA_NEVER_EXTRACTABLE`: it could never leave the device.
    pub never_extractable: Option<bool>,
    /// `CKA_LOCAL`: it was made on this device.
    pub local: Option<bool>,
}

impl KeyProtection {
    /// Why the value of the key can leave the device, in words; none when it cannot, or when the device does not say.
    pub fn exposure(&self) -> Option<&'static str> {
        match (self.sensitive, self.extractable) {
            (Some(false), Some(true)) => Some("is extractable and not sensitive"),
            (Some(false), _) => Some("is not sensitive"),
            (_, Some(true)) => Some("is extractable"),
            (_, Some(false) | None) => None,
        }
    }
}

/// The secret keys of a token.
#[derive(Debug)]
pub struct TokenKeys {
    /// Those that can be read.
    pub keys: Vec<TokenKey>,
    /// How many cannot be read, and why. Each of them may be the key that is looked for.
    pub unreadable: Option<AdministrationError>,
}

impl TokenKey {
    /// Whether it is (one of) the keys that the selector means.
    pub fn answers_to(&self, selector: &KeySelector) -> bool {
        match selector {
            KeySelector::Label(label) => self.label.as_ref() == Some(label),
            KeySelector::Id(id) => self.id == *id,
        }
    }

    /// Whether both are one object of one token.
    pub fn is_same_object(&self, other: &Self) -> bool {
        self.handle == other.handle
    }

    /// Whether it is an AES-256 key that may encrypt and decrypt.
    pub fn is_fit(&self) -> bool {
        let KeyAttributes { kind, usage } = &self.attributes;
        *kind == KeyKind::Aes(256) && usage.encrypt && usage.decrypt
    }
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
    pub fn keys(&self) -> Result<Vec<TokenKey>, AdministrationError> {
        Ok(self.list_keys()?.keys)
    }

    /// The secret keys of the token, and whether some cannot be read.
    ///
    /// # Errors
    /// When the token fails.
    pub fn list_keys(&self) -> Result<TokenKeys, AdministrationError> {
        let template = [Attribute::Class(ObjectClass::SECRET_KEY)];
        let listed = Listed::read(&self.session, &template, &keys::ATTRIBUTES)?;
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
        objects::search(&self.session, &[class, keys::attribute_of(name)])
    }

    fn read(&self, handle: ObjectHandle, mut attributes: Vec<Attribute>) -> TokenKey {
        let mut key = TokenKey {
            label: None,
            id: Vec::new(),
            attributes: keys::interpret(&attributes),
            protection: KeyProtection::default(),
            handle,
        };
        // By themselves: a device that knows one of these not at all must still be asked for the rest, and a key whose protection
        // cannot be read is still a key.
        let protection = self.session.get_attributes(handle, &PROTECTION);
        attributes.extend(protection.unwrap_or_default());
        for attribute in attributes {
            key.learn(attribute);
        }
        key
    }
}

impl TokenKey {
    fn learn(&mut self, attribute: Attribute) {
        let protection = &mut self.protection;
        match attribute {
            Attribute::Label(label) => self.label = String::from_utf8(label).ok(),
            Attribute::Id(id) => self.id = id,
            Attribute::Sensitive(value) => protection.sensitive = Some(value),
            Attribute::Extractable(value) => protection.extractable = Some(value),
            Attribute::AlwaysSensitive(value) => protection.always_sensitive = Some(value),
            Attribute::NeverExtractable(value) => protection.never_extractable = Some(value),
            Attribute::Local(value) => protection.local = Some(value),
            _ => {}
        }
    }
}
