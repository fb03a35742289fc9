//! The next version of a key: made on one HSM, proved on all of them, and only then put into words for the configuration.
//!
//! # Invariants
//! - No configuration is given while an HSM of the key store lacks the new key or holds another one of its name.
//! - Whatever has been done already is found and not done again, so that the same call goes on where the last one ended.

use super::comparison::{Held, compare};
use super::error::CreationError;
use super::{Found, Inventory};
use crate::ekm::KeySelector;
use crate::hsm_protocol::{HsmSettings, NewKey};
use crate::keystore::{KeySettings, KeyStoreSettings, VersionSettings};
use crate::xks::KeyVersion;

/// What the next version of a key is going to be.
pub struct Rotation<'a> {
    store: &'a KeyStoreSettings,
    key: &'a KeySettings,
    /// Its number: one more than the highest.
    pub number: KeyVersion,
    /// The label of its key in the HSMs.
    pub label: String,
}

/// How far a rotation has come.
#[derive(Debug)]
pub struct Rotated {
    /// The HSM on which the key was made by this call; none: it was there already.
    pub created_on: Option<String>,
    /// Its `CKA_ID`, on the first HSM that has it.
    pub id: Vec<u8>,
    /// HSMs that have it.
    pub on: Vec<String>,
    /// HSMs that do not have it.
    pub missing_on: Vec<String>,
    /// What is wrong besides.
    pub faults: Vec<String>,
    /// What nobody must mend, but should know.
    pub remarks: Vec<String>,
}

impl Rotated {
    /// Whether the configuration may be changed now.
    pub fn is_complete(&self) -> bool {
        self.missing_on.is_empty() && self.faults.is_empty()
    }
}

impl<'a> Rotation<'a> {
    /// The next version of this key, labelled like the first one with its number behind it unless another label is given.
    ///
    /// # Errors
    /// When the configuration uses the label already, or there is no next number.
    pub fn plan(
        stores: &'a [KeyStoreSettings],
        hsms: &[HsmSettings],
        (store, key): (&'a KeyStoreSettings, &'a KeySettings),
        label: Option<String>,
    ) -> Result<Self, CreationError> {
        let highest = key.versions().map(|version| version.number.0).max();
        let next = highest.unwrap_or_default().checked_add(1);
        let no_number = || {
            let message = "the last version has the highest possible number";
            CreationError::Failed(message.to_owned())
        };
        let number = KeyVersion(next.ok_or_else(no_number)?);
        let label = label.unwrap_or_else(|| default_label(key, number));
        if let Some(use_of_it) = use_of(&label, stores, hsms) {
            return Err(CreationError::NameInUse(format!(
                "the label {label:?} {use_of_it}; give another --label"
            )));
        }
        Ok(Self {
            store,
            key,
            number,
            label,
        })
    }

    /// Makes the key, unless an HSM has it, and finds out whether all HSMs of the store have it.
    ///
    /// # Errors
    /// Why nothing was made.
    pub fn carry_out(
        &self,
        inventory: &mut Inventory,
        on: Option<&str>,
    ) -> Result<Rotated, CreationError> {
        let unopened = inventory.unopened();
        if !unopened.is_empty() {
            let message = format!("{}; nothing was made", unopened.join("; "));
            return Err(CreationError::Unavailable(message));
        }
        let mut created_on = None;
        if self.is_nowhere(inventory)? {
            let hsm = on.or_else(|| self.store.hsms.first().map(String::as_str));
            let no_hsm = || CreationError::Failed("the key store has no HSM".to_owned());
            let hsm = hsm.ok_or_else(no_hsm)?;
            let (label, id) = (self.label.clone(), None);
            inventory.create(hsm, &NewKey { label, id }, &self.store.hsms)?;
            created_on = Some(hsm.to_owned());
        }
        Ok(self.judge(inventory, created_on))
    }

    /// The version that encrypts, first while the new one decrypts only, then when it encrypts.
    pub fn primaries(&self) -> [KeyVersion; 2] {
        [self.key.primary().number, self.number]
    }

    fn selector(&self) -> KeySelector {
        KeySelector::Label(self.label.clone())
    }

    fn is_nowhere(&self, inventory: &Inventory) -> Result<bool, CreationError> {
        let selector = self.selector();
        let mut is_nowhere = true;
        for device in inventory.named(&self.store.hsms) {
            match device.find(&selector) {
                Found::Absent => {}
                Found::One(..) => is_nowhere = false,
                Found::Ambiguous(n) => {
                    let hsm = &device.name;
                    return Err(CreationError::NameInUse(format!(
                        "{hsm} has {n} keys with {selector}; keep one, or give another --label"
                    )));
                }
                Found::Unknown(error) => {
                    let message = format!("{}: {error}", device.name);
                    return Err(CreationError::Unavailable(message));
                }
            }
        }
        Ok(is_nowhere)
    }

    fn judge(&self, inventory: &Inventory, created_on: Option<String>) -> Rotated {
        let held = inventory.holders(&self.selector());
        let name = |held: &Held<'_>| held.device.name.to_string();
        let on: Vec<String> = held.iter().map(name).collect();
        let lacks = |name: &&String| !on.contains(name);
        let mut rotated = Rotated {
            created_on,
            id: held
                .first()
                .map(|one| one.key.id.clone())
                .unwrap_or_default(),
            missing_on: self.store.hsms.iter().filter(lacks).cloned().collect(),
            on,
            faults: Vec::new(),
            remarks: Vec::new(),
        };
        for one in &held {
            rotated.look_at(one);
        }
        rotated.faults.extend(compare(&held).complaint());
        if let Some(first) = held.first() {
            rotated.faults.extend(self.trial(inventory, first));
        }
        rotated
    }

    /// What is wrong with the key in use: a new version that is an old one in disguise would be no rotation.
    fn trial(&self, inventory: &Inventory, new: &Held<'_>) -> Option<String> {
        let (hsm, token) = (&new.device.name, &new.opened.token);
        let sealed = match token.seal(new.key) {
            Ok(sealed) => sealed,
            Err(error) => return Some(format!("{hsm} does not encrypt with it: {error}")),
        };
        match token.opens(new.key, &sealed) {
            Ok(true) => {}
            Ok(false) => return Some(format!("{hsm} does not decrypt what it encrypts with it")),
            Err(error) => return Some(format!("{hsm} does not decrypt with it: {error}")),
        }
        let opens = |version: &&VersionSettings| {
            let old = inventory.holders(&version.selector);
            let mut here = old.iter().filter(|old| old.device.name == *hsm);
            // An old key that cannot be tried is not this one, which can.
            here.any(|old| token.opens(old.key, &sealed).unwrap_or(false))
        };
        let old = self.key.versions().find(opens)?;
        Some(format!("it is the key of version {}", old.number.0))
    }
}

impl Rotated {
    fn look_at(&mut self, one: &Held<'_>) {
        let hsm = &one.device.name;
        if !one.key.is_fit() {
            self.faults.push(format!(
                "on {hsm} it is not an AES-256 key that may encrypt and decrypt"
            ));
        }
        let protection = one.key.protection;
        if (protection.sensitive, protection.extractable) != (Some(true), Some(false)) {
            let remark = format!("on {hsm} it is not both sensitive and unextractable");
            self.remarks.push(remark);
        }
    }
}

/// The same at each call, whatever the HSMs hold.
fn default_label(key: &KeySettings, number: KeyVersion) -> String {
    let first = key.versions().min_by_key(|version| version.number);
    let base = match first.map(|version| &*version.selector) {
        Some(KeySelector::Label(label)) => label,
        Some(KeySelector::Id(_)) | None => key.id().as_str(),
    };
    format!("{base}-v{}", number.0)
}

/// What the configuration uses the label for.
fn use_of(label: &str, stores: &[KeyStoreSettings], hsms: &[HsmSettings]) -> Option<String> {
    if let Some(hsm) = hsms.iter().find(|hsm| hsm.health_key == label) {
        return Some(format!("is the health_key of {}", hsm.name));
    }
    let is_it = |version: &VersionSettings| matches!(&*version.selector, KeySelector::Label(used) if used == label);
    let keys = stores
        .iter()
        .flat_map(|store| store.keys.iter().map(move |key| (store, key)));
    let uses =
        keys.flat_map(|(store, key)| key.versions().map(move |version| (store, key, version)));
    let mut uses = uses.filter(|(_, _, version)| is_it(version));
    let (store, key, version) = uses.next()?;
    let number = version.number.0;
    Some(format!(
        "is version {number} of {}/{} already",
        store.name,
        key.id()
    ))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::keystore::State;
    use crate::xks::ExternalKeyId;

    fn version(number: u32, selector: KeySelector) -> VersionSettings {
        VersionSettings {
            number: KeyVersion(number),
            selector: Arc::new(selector),
        }
    }

    fn key(versions: Vec<VersionSettings>) -> KeySettings {
        let id = ExternalKeyId::parse("orders").unwrap();
        let primary = versions[0].number;
        KeySettings::versioned(id, State::Enabled, primary, versions).unwrap()
    }

    #[test]
    fn the_label_comes_from_the_first_version() {
        let label = |text: &str| KeySelector::Label(text.into());
        let two = key(vec![
            version(2, label("ledger-new")),
            version(1, label("ledger")),
        ]);
        assert_eq!(default_label(&two, KeyVersion(3)), "ledger-v3");
        let by_id = key(vec![version(1, KeySelector::Id(vec![1]))]);
        assert_eq!(default_label(&by_id, KeyVersion(2)), "orders-v2");
    }
}
