//! Selects a key of an HSM.

use std::fmt;

use crate::hex;

/// Selects a key of an HSM by its label or by its ID, never by both.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KeySelector {
    /// `CKA_LABEL`.
    Label(String),
    /// `CKA_ID`.
    Id(Vec<u8>),
}

impl fmt::Display for KeySelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Label(label) => write!(f, "label {label:?}"),
            Self::Id(id) => {
                write!(f, "id {}", hex::encode(id))
            }
        }
    }
}
