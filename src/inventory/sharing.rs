//! Finds keys of an HSM that the configuration uses under several names. Only the HSM shows that a label and a CKA_ID select the same key.

use super::devices::{Device, Found, Inventory, Opened};
use super::version::Version;
use crate::ekm::KeySelector;
use crate::hsm_protocol::TokenKey;

/// A key version of the configuration, with its key on the HSM.
struct Use<'a> {
    version: &'a Version<'a>,
    key: &'a TokenKey,
}

impl Use<'_> {
    fn name(&self) -> String {
        let Version {
            store,
            key,
            settings,
        } = self.version;
        let (store, key) = (&store.name, key.id());
        format!(
            "{store}/{key} version {} ({})",
            settings.number.0, settings.selector
        )
    }
}

/// Returns errors for keys that several key stores use without `danger_shared`, and for health keys that KMS could use.
pub(super) fn faults(inventory: &Inventory, versions: &[Version<'_>]) -> Vec<String> {
    let mut faults = Vec::new();
    for device in &inventory.devices {
        let uses = uses(device, versions);
        faults.extend(shared_without_permission(device, &uses));
        if let Ok(opened) = &device.opened {
            faults.extend(uses_of_health_key(device, opened, &uses));
        }
    }
    faults.sort();
    faults.dedup();
    faults
}

fn uses<'a>(device: &'a Device, versions: &'a [Version<'a>]) -> Vec<Use<'a>> {
    let mut uses = Vec::new();
    for version in versions {
        let is_here = version.store.hsms.iter().any(|name| **name == *device.name);
        if let (true, Found::One(_, key)) = (is_here, device.find(&version.settings.selector)) {
            uses.push(Use { version, key });
        }
    }
    uses
}

fn shared_without_permission(device: &Device, uses: &[Use<'_>]) -> Vec<String> {
    let mut faults = Vec::new();
    for (at, one) in uses.iter().enumerate() {
        for other in uses.iter().skip(at + 1) {
            let both = [one, other].map(|used| used.version);
            let [store, other_store] = both.map(|version| &version.store.name);
            let is_permitted = both.iter().all(|version| version.key.may_be_shared());
            if store != other_store && !is_permitted && one.key.is_same_object(other.key) {
                faults.push(format!(
                    "{} and {} are the same key of {}: each key store can decrypt what the other encrypts; if this is intended, set \
                     danger_shared = true for both",
                    one.name(),
                    other.name(),
                    device.name
                ));
            }
        }
    }
    faults
}

fn uses_of_health_key(device: &Device, opened: &Opened, uses: &[Use<'_>]) -> Vec<String> {
    let label = KeySelector::Label(device.health_key.clone());
    let is_health_key = |used: &&Use<'_>| {
        let mut health = opened.keys.iter().filter(|key| key.answers_to(&label));
        health.any(|key| key.is_same_object(used.key))
    };
    let fault = |used: &Use<'_>| {
        let (name, hsm) = (used.name(), &device.name);
        format!("{name} is the health key of {hsm}, which KMS must never use")
    };
    uses.iter().filter(is_health_key).map(fault).collect()
}
