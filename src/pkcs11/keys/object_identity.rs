//! Which object of a token a key is, so that what was found of it holds for no other one.

use cryptoki::object::{Attribute, AttributeType};

use super::table::KeyEntry;
use crate::pkcs11::library::ffi::Session;

/// What tells one key object from another, and what limits its use. Devices that do not know one of these still answer for the others.
const ATTRIBUTES: [AttributeType; 6] = [
    AttributeType::UniqueId,
    AttributeType::Id,
    AttributeType::Label,
    AttributeType::AllowedMechanisms,
    AttributeType::Sensitive,
    AttributeType::Extractable,
];

/// A key object.
#[derive(Clone, Debug)]
pub(in crate::pkcs11) struct KeyObject {
    /// The token, the object and its attributes: if one of them changes, this does.
    pub identity: String,
    /// Why its value can leave the device; none when it cannot, or when the device does not say.
    pub exposure: Option<&'static str>,
}

impl KeyObject {
    /// Reads what identifies the key. `under` identifies the token.
    pub(in crate::pkcs11) fn read(session: &Session, key: &KeyEntry, under: &str) -> Self {
        // A device that does not know some attribute may reject the whole call: then the other attributes identify the key.
        let read = session.get_attributes(key.handle, &ATTRIBUTES);
        let read = read.unwrap_or_default();
        Self {
            identity: format!("{under} {read:?} {:?}", key.attributes),
            exposure: exposure(&read),
        }
    }
}

fn exposure(attributes: &[Attribute]) -> Option<&'static str> {
    let is_extractable = attributes.contains(&Attribute::Extractable(true));
    let is_readable = attributes.contains(&Attribute::Sensitive(false));
    match (is_readable, is_extractable) {
        (true, true) => Some("it is extractable and not sensitive"),
        (true, false) => Some("it is not sensitive"),
        (false, true) => Some("it is extractable"),
        (false, false) => None,
    }
}
