//! The examination of one version of a key.

use super::comparison::{Comparison, Held, compare};
use super::devices::{Device, Found, Inventory};
use super::report::{HeldKey, Holding, SameKey, VersionReport};
use crate::ekm::{KeyAttributes, KeyKind, KeyUsageFlags};
use crate::hsm_protocol::TokenKey;
use crate::keystore::{KeySettings, KeyStoreSettings, State, VersionSettings};

/// A key version of the configuration.
#[derive(Clone, Copy)]
pub(super) struct Version<'a> {
    pub store: &'a KeyStoreSettings,
    pub key: &'a KeySettings,
    pub settings: &'a VersionSettings,
}

/// Returns every version of these stores: keys in the order of the configuration, versions by number.
pub(super) fn all<'a>(stores: &[&'a KeyStoreSettings]) -> Vec<Version<'a>> {
    let mut all = Vec::new();
    for &store in stores {
        for key in &store.keys {
            let mut versions: Vec<_> = key.versions().collect();
            versions.sort_by_key(|version| version.number);
            all.extend(versions.into_iter().map(|settings| Version {
                store,
                key,
                settings,
            }));
        }
    }
    all
}

impl Version<'_> {
    fn is_primary(&self) -> bool {
        self.key.primary().number == self.settings.number
    }

    fn is_enabled(&self) -> bool {
        self.store.state == State::Enabled && self.key.state() == State::Enabled
    }

    pub(super) fn report(&self, inventory: &Inventory) -> VersionReport {
        let selector = &*self.settings.selector;
        let devices = inventory.named(&self.store.hsms);
        let found: Vec<_> = devices.map(|d| (d, d.find(selector))).collect();
        let held: Vec<Held<'_>> = found.iter().filter_map(held).collect();
        let comparison = compare(&held);
        let lacking: Vec<Lacking> = held.iter().map(|one| self.lacking(one)).collect();
        VersionReport {
            store: self.store.name.clone(),
            key: self.key.id().to_string(),
            version: self.settings.number.0,
            is_primary: self.is_primary(),
            is_enabled: self.is_enabled(),
            selector: selector.to_string(),
            hsms: found.iter().map(holding).collect(),
            objections: self.objections(&lacking),
            faults: self.faults(&found, &lacking, &comparison),
            remarks: held.iter().filter_map(remark).collect(),
            same_key: same_key(comparison),
            encryptions: None,
        }
    }

    fn lacking(&self, one: &Held<'_>) -> Lacking {
        Lacking {
            hsm: one.device.name.to_string(),
            lacks: all_lacks(one, self.is_primary()),
        }
    }

    /// Returns what prevents the use of the version on any HSM.
    fn objections(&self, held: &[Lacking]) -> Vec<String> {
        let mut objections = Vec::new();
        for lack in held.iter().flat_map(|one| &one.lacks) {
            if !objections.contains(lack) {
                objections.push(lack.clone());
            }
        }
        if held.is_empty() {
            objections.push("not found".to_owned());
        }
        if self.is_primary() && !self.is_enabled() {
            objections.push("disabled".to_owned());
        }
        objections
    }

    fn faults(
        &self,
        found: &[(&Device, Found<'_>)],
        held: &[Lacking],
        comparison: &Comparison,
    ) -> Vec<String> {
        let selector = &*self.settings.selector;
        let mut faults = self.absences(found, held);
        for (device, found) in found {
            let name = &device.name;
            if let Found::Ambiguous(n) = found {
                faults.push(format!(
                    "{name} has {n} keys with {selector}: the name is ambiguous, so none is used; keep one"
                ));
            }
        }
        for (device, found) in found {
            // An HSM that cannot be opened is reported by itself.
            if let (Found::Unknown(error), Ok(_)) = (found, &device.opened) {
                let name = &device.name;
                faults.push(format!(
                    "{name} has a key with {selector} that cannot be used: {error}"
                ));
            }
        }
        for Lacking { hsm, lacks } in held {
            faults.extend(lacks.iter().map(|lack| format!("on {hsm} it {lack}")));
        }
        // An old version may lack ENCRYPT. Then its equality cannot be proved, which is not an error.
        if *comparison != Comparison::Unprovable {
            faults.extend(comparison.problem());
        }
        faults
    }

    fn absences(&self, found: &[(&Device, Found<'_>)], held: &[Lacking]) -> Vec<String> {
        let selector = &*self.settings.selector;
        let is_absent = |found: &Found<'_>| matches!(found, Found::Absent);
        let absent: Vec<_> = found.iter().filter(|(_, f)| is_absent(f)).collect();
        if !absent.is_empty() && absent.len() == found.len() {
            return vec![format!(
                "no HSM has a key with {selector}: requests for this key fail with KeyNotFoundException, other keys are not affected; \
                 create the key, or correct the configuration"
            )];
        }
        let has = held.first().map(|one| one.hsm.clone());
        let from = has.unwrap_or_else(|| "another HSM".to_owned());
        let fault = |name: &str| {
            format!(
                "{name} has no key with {selector}: it must hold the same key as {from}; clone the key with the vendor's tool, never \
                 create a different key of this name"
            )
        };
        absent
            .iter()
            .map(|(device, _)| fault(&device.name))
            .collect()
    }
}

fn held<'a>((device, found): &(&'a Device, Found<'a>)) -> Option<Held<'a>> {
    let Found::One(opened, key) = *found else {
        return None;
    };
    Some(Held {
        device,
        opened,
        key,
    })
}

/// The operations that the key on one HSM cannot do.
struct Lacking {
    hsm: String,
    lacks: Vec<String>,
}

/// Returns what the key cannot do: by its attributes, or, if these are correct, when it is used.
pub(super) fn all_lacks(one: &Held<'_>, is_primary: bool) -> Vec<String> {
    let by_attributes = lacks(&one.key.attributes, is_primary);
    match by_attributes.is_empty() {
        true => one
            .opened
            .token
            .try_key(one.key)
            .err()
            .into_iter()
            .collect(),
        false => by_attributes,
    }
}

/// Returns a remark if the value of the key can leave the HSM. This is not an error of the configuration.
fn remark(one: &Held<'_>) -> Option<String> {
    let exposure = one.key.protection.exposure()?;
    let hsm = &one.device.name;
    Some(format!(
        "on {hsm} it {exposure}: its value can leave the HSM"
    ))
}

/// Returns what the key cannot do by its attributes. KMS requires AES-256, ENCRYPT and DECRYPT of the primary; the other versions only decrypt.
fn lacks(attributes: &KeyAttributes, is_primary: bool) -> Vec<String> {
    let KeyAttributes { kind, usage } = attributes;
    let mut lacks = Vec::new();
    if *kind != KeyKind::Aes(256) {
        lacks.push(format!("is {}, not AES-256", kind_name(kind)));
    }
    if is_primary && !usage.encrypt {
        lacks.push("may not encrypt".to_owned());
    }
    if !usage.decrypt {
        lacks.push("may not decrypt".to_owned());
    }
    lacks
}

fn same_key(comparison: Comparison) -> SameKey {
    match comparison {
        Comparison::Single => SameKey::NotCompared,
        Comparison::Same => SameKey::Same,
        Comparison::Different(..) => SameKey::Different,
        Comparison::Unprovable => SameKey::Unproved("no HSM allows ENCRYPT".to_owned()),
        Comparison::Failed(why) => SameKey::Unproved(why),
    }
}

pub(super) fn holding((device, found): &(&Device, Found<'_>)) -> Holding {
    let (found, key) = match found {
        Found::Unknown(_) => (None, None),
        Found::Absent => (Some(0), None),
        Found::Ambiguous(n) => (Some(*n), None),
        Found::One(_, key) => (Some(1), Some(held_key(key))),
    };
    Holding {
        hsm: device.name.to_string(),
        found,
        key,
    }
}

/// Returns the key in the form of a report.
pub(super) fn held_key(key: &TokenKey) -> HeldKey {
    HeldKey {
        label: key.label.clone(),
        cka_id: crate::hex::encode(&key.id),
        kind: kind_name(&key.attributes.kind),
        usage: usage_names(key.attributes.usage),
        sensitive: key.protection.sensitive,
        extractable: key.protection.extractable,
        always_sensitive: key.protection.always_sensitive,
        never_extractable: key.protection.never_extractable,
        local: key.protection.local,
    }
}

fn kind_name(kind: &KeyKind) -> String {
    match kind {
        KeyKind::Aes(bits) => format!("AES-{bits}"),
        KeyKind::Other(name) => name.clone(),
    }
}

fn usage_names(usage: KeyUsageFlags) -> Vec<&'static str> {
    let all = [
        ("ENCRYPT", usage.encrypt),
        ("DECRYPT", usage.decrypt),
        ("SIGN", usage.sign),
        ("VERIFY", usage.verify),
        ("WRAP", usage.wrap),
        ("UNWRAP", usage.unwrap),
        ("DERIVE", usage.derive),
    ];
    let allowed = all.into_iter().filter(|(_, is_allowed)| *is_allowed);
    allowed.map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(kind: KeyKind, encrypt: bool, decrypt: bool) -> KeyAttributes {
        let usage = KeyUsageFlags {
            encrypt,
            decrypt,
            ..KeyUsageFlags::default()
        };
        KeyAttributes { kind, usage }
    }

    #[test]
    fn a_primary_must_encrypt_and_decrypt_and_other_versions_must_decrypt() {
        let aes = |encrypt, decrypt| attributes(KeyKind::Aes(256), encrypt, decrypt);
        assert!(lacks(&aes(true, true), true).is_empty());
        assert_eq!(lacks(&aes(false, true), true), ["may not encrypt"]);
        assert!(lacks(&aes(false, true), false).is_empty());
        assert_eq!(lacks(&aes(true, false), false), ["may not decrypt"]);
        let short = attributes(KeyKind::Aes(128), true, true);
        assert_eq!(lacks(&short, false), ["is AES-128, not AES-256"]);
        let other = attributes(KeyKind::Other("DES3".into()), false, false);
        assert_eq!(lacks(&other, true).len(), 3);
    }
}
