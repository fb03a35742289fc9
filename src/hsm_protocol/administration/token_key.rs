//! The keys of a token and its GCM plan, in answers to operator commands.

use serde::{Deserialize, Serialize};

use crate::ekm::{KeyAttributes, KeyKind, KeySelector};

/// A secret key of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenKey {
    /// The worker's number of the key object. Different objects of the token have different numbers.
    pub number: u64,
    /// `CKA_LABEL`, if it is UTF-8.
    pub label: Option<String>,
    /// `CKA_ID`, possibly empty.
    pub id: Vec<u8>,
    /// The type and the permitted operations.
    pub attributes: KeyAttributes,
    /// The protection of the key value.
    pub protection: KeyProtection,
}

impl TokenKey {
    /// Returns whether the key matches the selector.
    pub fn answers_to(&self, selector: &KeySelector) -> bool {
        match selector {
            KeySelector::Label(label) => self.label.as_ref() == Some(label),
            KeySelector::Id(id) => self.id == *id,
        }
    }

    /// Returns whether both are the same object, if both are of the same token.
    pub fn is_same_object(&self, other: &Self) -> bool {
        self.number == other.number
    }

    /// Returns whether the key is an AES-256 key that may encrypt and decrypt.
    pub fn is_fit(&self) -> bool {
        let KeyAttributes { kind, usage } = &self.attributes;
        *kind == KeyKind::Aes(256) && usage.encrypt && usage.decrypt
    }
}

/// The protection of a key value, by the attributes of these names. `None` if the device does not report an attribute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyProtection {
    /// `CKA_SENSITIVE`: the value cannot be read in plaintext.
    pub sensitive: Option<bool>,
    /// `CKA_EXTRACTABLE`: the value may leave the device, wrapped.
    pub extractable: Option<bool>,
    /// `CKA_ALWAYS_SENSITIVE`: the key has been sensitive since its creation.
    pub always_sensitive: Option<bool>,
    /// `CKA_NEVER_EXTRACTABLE`: the key was never extractable.
    pub never_extractable: Option<bool>,
    /// `CKA_LOCAL`: the key was generated on this device.
    pub local: Option<bool>,
}

impl KeyProtection {
    /// Why the key value can leave the device, as text; `None` if it cannot, or if the device does not report it.
    pub fn exposure(&self) -> Option<&'static str> {
        match (self.sensitive, self.extractable) {
            (Some(false), Some(true)) => Some("is extractable and not sensitive"),
            (Some(false), _) => Some("is not sensitive"),
            (_, Some(true)) => Some("is extractable"),
            (_, Some(false) | None) => None,
        }
    }
}

/// The names of a new key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    /// `CKA_LABEL`.
    pub label: String,
    /// `CKA_ID`; 16 random bytes if `None`.
    pub id: Option<Vec<u8>>,
}

/// The result of the probe for AES-GCM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GcmFinding {
    /// This plan works: it passed the check with a key.
    Proved(String),
    /// This plan may work. The second text is the reason why it was not tested.
    Unproved(String, String),
    /// No plan works, for this reason.
    Unusable(String),
}
