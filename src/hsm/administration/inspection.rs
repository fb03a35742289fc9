//! The keys of a token with all that an operator may want to know of them.

use cryptoki::error::Error;
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};

use super::{AdministrationError, OpenToken};
use crate::ekm::{KeyAttributes, KeyKind, KeySelector};
use crate::hsm::keys;

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
    /// Every secret key of the token.
    ///
    /// # Errors
    /// When the token fails.
    pub fn keys(&self) -> Result<Vec<TokenKey>, AdministrationError> {
        let template = [Attribute::Class(ObjectClass::SECRET_KEY)];
        let handles = self.session.find_objects(&template)?;
        let keys: Result<_, Error> = handles.into_iter().map(|key| self.read(key)).collect();
        Ok(keys?)
    }

    pub(super) fn read(&self, handle: ObjectHandle) -> Result<TokenKey, Error> {
        let mut attributes = self.session.get_attributes(handle, &keys::ATTRIBUTES)?;
        let mut key = TokenKey {
            label: None,
            id: Vec::new(),
            attributes: keys::interpret(&attributes),
            protection: KeyProtection::default(),
            handle,
        };
        // By themselves: a device that knows one of these not at all must still be asked for the rest.
        attributes.extend(self.session.get_attributes(handle, &PROTECTION)?);
        for attribute in attributes {
            key.learn(attribute);
        }
        Ok(key)
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
