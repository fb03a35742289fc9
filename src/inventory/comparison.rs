//! Compares the keys of several HSMs: each HSM must decrypt what one of them encrypted.

use super::devices::{Device, Opened};
use crate::ekm::KeyKind;
use crate::hsm_protocol::TokenKey;

/// A key on an HSM.
#[derive(Clone, Copy)]
pub(super) struct Held<'a> {
    pub device: &'a Device,
    pub opened: &'a Opened,
    pub key: &'a TokenKey,
}

/// The result of a comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    /// Fewer than two HSMs have the key.
    Single,
    /// All HSMs hold the same key.
    Same,
    /// These two HSMs hold different keys.
    Different(String, String),
    /// No HSM allows ENCRYPT, so the keys cannot be compared.
    Unprovable,
    /// The comparison failed, for this reason.
    Failed(String),
}

impl Comparison {
    /// Returns the problem as text for the operator; none if the keys are equal.
    pub(super) fn problem(&self) -> Option<String> {
        match self {
            Self::Single | Self::Same => None,
            Self::Different(one, other) => Some(format!(
                "{one} and {other} hold DIFFERENT KEYS of this name: neither can decrypt what the other encrypts"
            )),
            Self::Unprovable => Some(
                "no HSM allows ENCRYPT, so it cannot be proved that all HSMs hold the same key"
                    .to_owned(),
            ),
            Self::Failed(why) => Some(format!(
                "it could not be proved that all HSMs hold the same key: {why}"
            )),
        }
    }
}

/// Compares the AES-256 keys; other keys are ignored.
pub(super) fn compare(all: &[Held<'_>]) -> Comparison {
    let is_aes_256 = |held: &&Held<'_>| held.key.attributes.kind == KeyKind::Aes(256);
    let held: Vec<Held<'_>> = all.iter().filter(is_aes_256).copied().collect();
    if held.len() < 2 {
        return Comparison::Single;
    }
    let mut may_encrypt = held.iter().filter(|one| one.key.attributes.usage.encrypt);
    let Some(reference) = may_encrypt.next() else {
        return Comparison::Unprovable;
    };
    let encrypted = match reference.opened.token.seal(reference.key) {
        Ok(encrypted) => encrypted,
        Err(error) => return Comparison::Failed(format!("{}: {error}", reference.device.name)),
    };
    let mut outcome = Comparison::Same;
    let is_other = |one: &&Held<'_>| one.device.name != reference.device.name;
    for other in held.iter().filter(is_other) {
        match other.opened.token.opens(other.key, &encrypted) {
            Ok(true) => {}
            Ok(false) => {
                let name = |held: &Held<'_>| held.device.name.to_string();
                return Comparison::Different(name(reference), name(other));
            }
            Err(error) => outcome = Comparison::Failed(format!("{}: {error}", other.device.name)),
        }
    }
    outcome
}
