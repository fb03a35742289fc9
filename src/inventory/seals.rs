//! The key of the audit trail: which HSMs have it, and whether they sealed what the trail says they did.
//!
//! # Invariants
//! - Only the trail's own keys vouch for it: what another key has made is no seal, however genuine.
//! - That an HSM could not be asked is never an answer.

use super::comparison::Held;
use super::report::SealKeyReport;
use super::version::{all_lacks, holding};
use super::{Device, Found, Inventory};
use crate::audit::{Checkpoint, Seal, SealVerifier};
use crate::ekm::{KeySelector, TAG_LENGTH};
use crate::hsm_protocol::administration::TestCiphertext;

/// The longest IV that any device makes, in bytes.
const MAX_IV: usize = 16;

/// Longer than any sealed constant, in bytes.
const MAX_SEALED: usize = 1024;

/// Checks the seals of a trail.
pub struct Seals<'a> {
    inventory: &'a Inventory,
    keys: &'a [String],
}

impl Inventory {
    /// Checks seals that were made with the keys of these labels.
    pub fn seals<'a>(&'a self, keys: &'a [String]) -> Seals<'a> {
        Seals {
            inventory: self,
            keys,
        }
    }

    /// Reports which HSMs have the key with this label, and why it cannot seal the audit trail.
    pub fn seal_key(&self, label: &str) -> SealKeyReport {
        let selector = KeySelector::Label(label.to_owned());
        let devices = self.devices.iter();
        let found: Vec<_> = devices.map(|d| (d, d.find(&selector))).collect();
        let is_absent = |found: &Found<'_>| matches!(found, Found::Absent);
        let (asked, absent) = (
            found
                .iter()
                .filter(|(_, f)| !matches!(f, Found::Unknown(_)))
                .count(),
            found.iter().filter(|(_, f)| is_absent(f)).count(),
        );
        let mut faults: Vec<String> = found
            .iter()
            .flat_map(|(device, found)| unfit(device, found))
            .collect();
        if asked > 0 && absent == asked {
            faults.push(format!(
                "no HSM has a key with {selector}: the checkpoints of the audit trail would not be sealed; `xks-proxy key create --label {label}` makes it"
            ));
        }
        SealKeyReport {
            selector: selector.to_string(),
            hsms: found.iter().map(holding).collect(),
            faults,
        }
    }
}

/// Why an HSM that has the key cannot seal with it.
fn unfit(device: &Device, found: &Found<'_>) -> Vec<String> {
    let hsm = &device.name;
    match found {
        Found::Unknown(_) | Found::Absent => Vec::new(),
        Found::Ambiguous(n) => vec![format!("{hsm} has {n} keys with this label; keep one")],
        Found::One(opened, key) => {
            let held = Held {
                device,
                opened,
                key,
            };
            let lacks = all_lacks(&held, true);
            let fault = |lack: &String| format!("on {hsm} it {lack}");
            lacks.iter().map(fault).collect()
        }
    }
}

impl SealVerifier for Seals<'_> {
    fn is_genuine(&self, checkpoint: &Checkpoint) -> Result<bool, String> {
        let Seal {
            hsm,
            key,
            iv,
            sealed,
        } = &checkpoint.seal;
        if !self.keys.contains(key) {
            return Err(format!(
                "a seal is said to be made with the key {key:?}, which is not the trail's; if it was once, say --seal-key"
            ));
        }
        // No device has made this, and none needs to be asked.
        if iv.len() > MAX_IV || !(TAG_LENGTH..=MAX_SEALED).contains(&sealed.len()) {
            return Ok(false);
        }
        let mut reasons = Vec::new();
        let is_maker = |device: &&Device| *device.name == **hsm;
        let devices = &self.inventory.devices;
        let (maker, others): (Vec<_>, Vec<_>) = devices.iter().partition(is_maker);
        for device in maker.into_iter().chain(others) {
            match device.has_sealed(checkpoint) {
                Ok(true) => return Ok(true),
                // Others may have another key of this name; who is said to have made it knows.
                Ok(false) if is_maker(&device) => return Ok(false),
                Ok(false) => reasons.push(format!("{} did not make it", device.name)),
                Err(reason) => reasons.push(format!("{}: {reason}", device.name)),
            }
        }
        Err(format!(
            "a seal of {hsm:?} cannot be checked: {}",
            reasons.join("; ")
        ))
    }
}

impl Device {
    fn has_sealed(&self, checkpoint: &Checkpoint) -> Result<bool, String> {
        let Seal {
            key, iv, sealed, ..
        } = &checkpoint.seal;
        let selector = KeySelector::Label(key.clone());
        let (opened, key) = match self.find(&selector) {
            Found::One(opened, key) => (opened, key),
            Found::Unknown(error) => return Err(error.to_string()),
            Found::Absent => return Err(format!("it has no key with {selector}")),
            Found::Ambiguous(n) => return Err(format!("it has {n} keys with {selector}")),
        };
        let aad = checkpoint.head.aad();
        let ciphertext = TestCiphertext {
            iv: iv.clone(),
            sealed: sealed.clone(),
        };
        let answer = opened.token.authenticates(key, &aad, ciphertext);
        answer.map_err(|error| error.to_string())
    }
}
