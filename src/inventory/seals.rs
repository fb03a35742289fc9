//! The audit key: which HSMs have it, and whether they made the seals in the audit trail.
//!
//! # Invariants
//! - A seal is accepted only if it was made with one of the keys of the audit trail.
//! - If no HSM can check a seal, the result is an error, never "valid" or "invalid".

use super::comparison::Held;
use super::devices::{Device, Found, Inventory};
use super::report::SealKeyReport;
use super::version::{all_lacks, holding};
use crate::audit::{Checkpoint, Seal, SealVerifier};
use crate::ekm::{KeySelector, TAG_LENGTH};
use crate::hsm_protocol::administration::TestCiphertext;

/// The longest IV of any HSM, in bytes.
const MAX_IV: usize = 16;

/// The longest seal that is sent to an HSM, in bytes; longer than any real seal.
const MAX_SEAL: usize = 1024;

/// Checks the seals of an audit trail.
pub struct Seals<'a> {
    inventory: &'a Inventory,
    keys: &'a [String],
}

impl Inventory {
    /// Returns a checker for seals that were made with the keys of these labels.
    pub fn seals<'a>(&'a self, keys: &'a [String]) -> Seals<'a> {
        Seals {
            inventory: self,
            keys,
        }
    }

    /// Reports which HSMs have the key with this label, and why they cannot seal the audit trail with it.
    pub fn seal_key(&self, label: &str) -> SealKeyReport {
        let selector = KeySelector::Label(label.to_owned());
        let devices = self.devices.iter();
        let found: Vec<_> = devices.map(|d| (d, d.find(&selector))).collect();
        let is_absent = |found: &Found<'_>| matches!(found, Found::Absent);
        let (readable, absent) = (
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
        if readable > 0 && absent == readable {
            faults.push(format!(
                "no HSM has a key with {selector} to seal the checkpoints of the audit trail; create it with `xks-proxy key create --label {label}`"
            ));
        }
        SealKeyReport {
            selector: selector.to_string(),
            hsms: found.iter().map(holding).collect(),
            faults,
        }
    }
}

/// Returns why an HSM that has the key cannot seal with it.
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
                "a seal names the key {key:?}, which is not the key of the audit trail; if it was the key before, add --seal-key"
            ));
        }
        // No HSM makes an IV or a seal of this length.
        if iv.len() > MAX_IV || !(TAG_LENGTH..=MAX_SEAL).contains(&sealed.len()) {
            return Ok(false);
        }
        let mut reasons = Vec::new();
        let is_maker = |device: &&Device| *device.name == **hsm;
        let devices = &self.inventory.devices;
        let (maker, others): (Vec<_>, Vec<_>) = devices.iter().partition(is_maker);
        for device in maker.into_iter().chain(others) {
            match device.has_made_seal_of(checkpoint) {
                Ok(true) => return Ok(true),
                // Only the answer of the HSM that the seal names is final: others may have a different key of this name.
                Ok(false) if is_maker(&device) => return Ok(false),
                Ok(false) => reasons.push(format!("{} did not make the seal", device.name)),
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
    fn has_made_seal_of(&self, checkpoint: &Checkpoint) -> Result<bool, String> {
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
