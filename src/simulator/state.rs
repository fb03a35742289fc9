//! The state of KMS: key stores, keys and aliases of each account and Region.
//!
//! # Invariants
//! - The serialized state has secrets and key material, so it is written to the state file only.

pub(super) mod endpoint_services;
pub(super) mod file;
pub(super) mod grants;
pub(super) mod key_policy;
pub(super) mod last_usage;
pub(super) mod lookup;
pub(super) mod runtime;
pub(super) mod stores;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::simulator::crypto::material::KeyMaterial;
use crate::simulator::state::grants::Grant;
use crate::simulator::state::key_policy::KeyPolicy;
use crate::simulator::state::stores::CustomKeyStore;

/// The version of the format of the state file.
pub(super) const VERSION: u32 = 1;

/// The state of all accounts and Regions.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) struct KmsState {
    /// The version of the format.
    pub(super) version: u32,
    region_states: BTreeMap<String, RegionState>,
}

impl Default for KmsState {
    fn default() -> Self {
        Self {
            version: VERSION,
            region_states: BTreeMap::new(),
        }
    }
}

/// The state of one account in one Region.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct RegionState {
    /// By id.
    pub(super) stores: BTreeMap<String, CustomKeyStore>,
    /// By id.
    pub(super) keys: BTreeMap<String, KmsKey>,
    /// By name, including `alias/`.
    pub(super) aliases: BTreeMap<String, Alias>,
}

/// A KMS key in an external key store.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct KmsKey {
    pub(super) id: String,
    /// Seconds since 1970.
    pub(super) created: f64,
    pub(super) description: String,
    pub(super) state: KmsKeyState,
    /// The id of the store.
    pub(super) store: String,
    /// The id of the external key.
    pub(super) xks_key_id: String,
    pub(super) policy: KeyPolicy,
    pub(super) tags: BTreeMap<String, String>,
    /// By id.
    pub(super) grants: BTreeMap<String, Grant>,
    /// The key of the inner layer of the double encryption.
    pub(super) material: KeyMaterial,
}

/// The state of a key. Only enabled keys can be used.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum KmsKeyState {
    Enabled,
    Disabled,
    /// The key is deleted at this time, in seconds since 1970.
    PendingDeletion(f64),
}

/// An alias of a key.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Alias {
    /// The id of the key.
    pub(super) key: String,
    pub(super) created: f64,
    pub(super) updated: f64,
}

impl KmsState {
    /// Returns the state of an account and Region, if it has one.
    pub(super) fn region_state(&self, account: &str, region: &str) -> Option<&RegionState> {
        self.region_states.get(&format!("{account}/{region}"))
    }

    /// Returns the state of an account and Region for modification, if it has one.
    pub(super) fn region_state_mut(
        &mut self,
        account: &str,
        region: &str,
    ) -> Option<&mut RegionState> {
        self.region_states.get_mut(&format!("{account}/{region}"))
    }

    /// Returns the state of an account and Region for modification; creates it if it does not exist.
    pub(super) fn region_state_or_new(&mut self, account: &str, region: &str) -> &mut RegionState {
        self.region_states
            .entry(format!("{account}/{region}"))
            .or_default()
    }

    /// Returns every account and Region with its state.
    pub(super) fn region_states(&self) -> impl Iterator<Item = ((&str, &str), &RegionState)> {
        self.region_states
            .iter()
            .map(|(name, region_state)| (name.split_once('/').unwrap_or_default(), region_state))
    }

    /// Deletes the keys whose waiting period is over, with their aliases. Returns whether there were any.
    pub(super) fn forget_deleted(&mut self, now: f64) -> bool {
        let is_due =
            |key: &KmsKey| matches!(key.state, KmsKeyState::PendingDeletion(at) if at <= now);
        let mut any = false;
        for region_state in self.region_states.values_mut() {
            if region_state.keys.values().any(is_due) {
                any = true;
                region_state.keys.retain(|_, key| !is_due(key));
                let RegionState { keys, aliases, .. } = region_state;
                aliases.retain(|_, alias| keys.contains_key(&alias.key));
            }
        }
        any
    }
}
