//! Whether several HSMs hold one and the same key: what one encrypts, each other must decrypt.

use super::{Device, Opened};
use crate::ekm::KeyKind;
use crate::hsm_protocol::TokenKey;

/// A key on an HSM.
#[derive(Clone, Copy)]
pub(super) struct Held<'a> {
    pub device: &'a Device,
    pub opened: &'a Opened,
    pub key: &'a TokenKey,
}

/// What a comparison has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    /// There are not two keys to compare.
    Single,
    /// One key.
    Same,
    /// These two HSMs hold different keys.
    Different(String, String),
    /// No HSM may encrypt with it, so there is no telling.
    Unprovable,
    /// It was tried in vain.
    Failed(String),
}

impl Comparison {
    /// What speaks against using the key, in words for an operator.
    pub(super) fn complaint(&self) -> Option<String> {
        match self {
            Self::Single | Self::Same => None,
            Self::Different(one, other) => Some(format!(
                "{one} and {other} hold DIFFERENT KEYS of this name: what one encrypts, the other cannot decrypt"
            )),
            Self::Unprovable => Some(
                "no HSM may encrypt with it, so that all of them hold one key cannot be proved"
                    .to_owned(),
            ),
            Self::Failed(why) => Some(format!(
                "that all HSMs hold one key could not be proved: {why}"
            )),
        }
    }
}

/// Compares the keys that may be compared at all: those of AES-256.
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
    let sealed = match reference.opened.token.seal(reference.key) {
        Ok(sealed) => sealed,
        Err(error) => return Comparison::Failed(format!("{}: {error}", reference.device.name)),
    };
    let mut outcome = Comparison::Same;
    let is_other = |one: &&Held<'_>| one.device.name != reference.device.name;
    for other in held.iter().filter(is_other) {
        match other.opened.token.opens(other.key, &sealed) {
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
