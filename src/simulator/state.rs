//! What KMS knows: by account and Region, the key stores, the keys, the aliases.
//!
//! # Invariants
//! - Serialized, it holds secrets and key material: it goes to the state file and nowhere else.

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

use crate::simulator::crypto::material::Material;
use crate::simulator::state::grants::Grant;
use crate::simulator::state::key_policy::KeyPolicy;
use crate::simulator::state::stores::Store;

/// The form of the state file.
pub(super) const VERSION: u32 = 1;

/// All accounts and Regions.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) struct State {
    /// The form of this.
    pub(super) version: u32,
    places: BTreeMap<String, Place>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            version: VERSION,
            places: BTreeMap::new(),
        }
    }
}

/// One account in one Region.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Place {
    /// By id.
    pub(super) stores: BTreeMap<String, Store>,
    /// By id.
    pub(super) keys: BTreeMap<String, Key>,
    /// By name, `alias/` and all.
    pub(super) aliases: BTreeMap<String, Alias>,
}

/// A KMS key in an external key store.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Key {
    pub(super) id: String,
    /// Seconds since 1970.
    pub(super) created: f64,
    pub(super) description: String,
    pub(super) state: KeyState,
    /// The store's id.
    pub(super) store: String,
    /// The external key.
    pub(super) xks_key_id: String,
    pub(super) policy: KeyPolicy,
    pub(super) tags: BTreeMap<String, String>,
    /// By id.
    pub(super) grants: BTreeMap<String, Grant>,
    /// KMS's own half of the double encryption.
    pub(super) material: Material,
}

/// Whether a key may be used.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum KeyState {
    Enabled,
    Disabled,
    /// It is gone at this time, in seconds since 1970.
    PendingDeletion(f64),
}

/// Another name of a key.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Alias {
    /// The key's id.
    pub(super) key: String,
    pub(super) created: f64,
    pub(super) updated: f64,
}

impl State {
    /// What there is in an account and Region; none if there never was anything.
    pub(super) fn place(&self, account: &str, region: &str) -> Option<&Place> {
        self.places.get(&format!("{account}/{region}"))
    }

    /// The same, to change something that is there.
    pub(super) fn known_mut(&mut self, account: &str, region: &str) -> Option<&mut Place> {
        self.places.get_mut(&format!("{account}/{region}"))
    }

    /// The same, to add something.
    pub(super) fn place_mut(&mut self, account: &str, region: &str) -> &mut Place {
        self.places
            .entry(format!("{account}/{region}"))
            .or_default()
    }

    /// Every account and Region that has something.
    pub(super) fn places(&self) -> impl Iterator<Item = ((&str, &str), &Place)> {
        self.places
            .iter()
            .map(|(name, place)| (name.split_once('/').unwrap_or_default(), place))
    }

    /// Forgets the keys whose waiting period is over, with their aliases.
    pub(super) fn forget_deleted(&mut self, now: f64) -> bool {
        let is_due = |key: &Key| matches!(key.state, KeyState::PendingDeletion(at) if at <= now);
        let mut any = false;
        for place in self.places.values_mut() {
            if place.keys.values().any(is_due) {
                any = true;
                place.keys.retain(|_, key| !is_due(key));
                let Place { keys, aliases, .. } = place;
                aliases.retain(|_, alias| keys.contains_key(&alias.key));
            }
        }
        any
    }
}
