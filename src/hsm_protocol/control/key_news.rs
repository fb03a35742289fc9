//! The report on an expected key, and a key as the control channel names it.

use serde::{Deserialize, Serialize};

use crate::ekm::{KeyManagerFault, KeySelector, KeyState};
use crate::hsm_protocol::wire::short;

/// The longest reason of a rejection in a frame, in bytes.
const MAX_REASON: usize = 1_024;

/// A key by its label or its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WireSelector {
    /// `CKA_LABEL`.
    Label(String),
    /// `CKA_ID`.
    Id(Vec<u8>),
}

impl From<&KeySelector> for WireSelector {
    fn from(key: &KeySelector) -> Self {
        match key {
            KeySelector::Label(label) => Self::Label(label.clone()),
            KeySelector::Id(id) => Self::Id(id.clone()),
        }
    }
}

impl From<WireSelector> for KeySelector {
    fn from(key: WireSelector) -> Self {
        match key {
            WireSelector::Label(label) => Self::Label(label),
            WireSelector::Id(id) => Self::Id(id),
        }
    }
}

/// A report on one expected key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyNews {
    /// The key.
    pub key: WireSelector,
    /// `encrypts`, `decrypts`, `is_duplicated`; `None` if the key is missing.
    pub present: Option<(bool, bool, bool)>,
    /// The index of a fault in [`KeyManagerFault::ALL`], and the reason, if a proof rejected the key.
    pub rejection: Option<(usize, String)>,
}

impl WireSelector {
    /// The maximum size in a frame, in bytes, with the surrounding members. In JSON, a character has at most six bytes, and a number with its
    /// comma four.
    pub(super) fn length(&self) -> usize {
        let length = match self {
            Self::Label(label) => 6 * label.len(),
            Self::Id(id) => 4 * id.len(),
        };
        length + 128
    }
}

impl KeyNews {
    pub(super) fn length(&self) -> usize {
        let reason = self.rejection.as_ref().map(|(_, reason)| 6 * reason.len());
        self.key.length() + reason.unwrap_or_default()
    }

    /// Creates a report on this key.
    pub fn new(
        key: &KeySelector,
        state: KeyState,
        rejection: Option<(KeyManagerFault, &str)>,
    ) -> Self {
        let index = |fault| {
            KeyManagerFault::ALL
                .iter()
                .position(|other| *other == fault)
        };
        Self {
            key: key.into(),
            present: match state {
                KeyState::Missing => None,
                KeyState::Present {
                    encrypts,
                    decrypts,
                    is_duplicated,
                } => Some((encrypts, decrypts, is_duplicated)),
            },
            rejection: rejection.and_then(|(fault, reason)| {
                Some((index(fault)?, short(reason, MAX_REASON).to_owned()))
            }),
        }
    }

    /// The state of the key.
    pub fn state(&self) -> KeyState {
        match self.present {
            None => KeyState::Missing,
            Some((encrypts, decrypts, is_duplicated)) => KeyState::Present {
                encrypts,
                decrypts,
                is_duplicated,
            },
        }
    }

    /// The fault and the reason, if a proof rejected the key. An unknown fault becomes [`KeyManagerFault::KeyBlocked`].
    pub fn rejection(&self) -> Option<(KeyManagerFault, &str)> {
        let (index, reason) = self.rejection.as_ref()?;
        let fault = KeyManagerFault::ALL.get(*index).copied();
        Some((fault.unwrap_or(KeyManagerFault::KeyBlocked), reason))
    }
}
