//! The identity of a key object, so that a result for one object is not used for another one.

use cryptoki::object::{Attribute, AttributeType};

use super::table::KeyEntry;
use crate::pkcs11::library::ffi::Session;

/// The attributes that distinguish key objects or limit their use. Devices that do not support one of them still return the others.
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
    /// A text that changes whenever the token, the object or one of these attributes changes.
    pub identity: String,
    /// Why the key value can leave the device; `None` if it cannot, or if the device does not report it.
    pub exposure: Option<&'static str>,
}

impl KeyObject {
    /// Reads the identity of the key. `context` identifies the token and its GCM plan.
    pub(in crate::pkcs11) fn read(session: &Session, key: &KeyEntry, context: &str) -> Self {
        // A device that does not support an attribute may reject the whole call. Then the attributes in the table identify the key.
        let read = session.get_attributes(key.handle, &ATTRIBUTES);
        let read = read.unwrap_or_default();
        Self {
            identity: format!("{context} {read:?} {:?}", key.attributes),
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
