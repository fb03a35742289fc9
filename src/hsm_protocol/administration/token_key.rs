//! Keys of a token and the token's AES-GCM, as commands report them.

use serde::{Deserialize, Serialize};

use crate::ekm::{KeyAttributes, KeyKind, KeySelector};

/// A secret key of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenKey {
    /// The worker's number of the key: equal for one object of the token, different for two.
    pub number: u64,
    /// `CKA_LABEL`, when it is a text.
    pub label: Option<String>,
    /// `CKA_ID`, possibly empty.
    pub id: Vec<u8>,
    /// What it is and may do.
    pub attributes: KeyAttributes,
    /// How well its value is kept.
    pub protection: KeyProtection,
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
        self.number == other.number
    }

    /// Whether it is an AES-256 key that may encrypt and decrypt.
    pub fn is_fit(&self) -> bool {
        let KeyAttributes { kind, usage } = &self.attributes;
        *kind == KeyKind::Aes(256) && usage.encrypt && usage.decrypt
    }
}

/// How well a key's value is kept, by the attributes of these names. None: the device does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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

/// What a new key is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    /// `CKA_LABEL`.
    pub label: String,
    /// `CKA_ID`; none: 16 random bytes.
    pub id: Option<Vec<u8>>,
}

/// How a token does AES-GCM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GcmFinding {
    /// This way, as the check with a key has shown.
    Proved(String),
    /// Perhaps this way; why that is not known.
    Unproved(String, String),
    /// In no way that works.
    Unusable(String),
}
