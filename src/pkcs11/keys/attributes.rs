//! The attributes of a key that the proxy reads, and their meaning.

use cryptoki::object::{Attribute, AttributeType, KeyType};

use crate::ekm::{KeyAttributes, KeyKind, KeySelector, KeyUsageFlags};

/// The attributes that are read of each key. Public for the benchmark of key searches.
pub const ATTRIBUTES: [AttributeType; 11] = [
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
    let selector = |attribute: &Attribute| match attribute {
        Attribute::Label(label) if !label.is_empty() => {
            let label = String::from_utf8(label.clone()).ok()?;
            Some(KeySelector::Label(label))
        }
        Attribute::Id(id) if !id.is_empty() => Some(KeySelector::Id(id.clone())),
        _ => None,
    };
    attributes.iter().filter_map(selector).collect()
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
