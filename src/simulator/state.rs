//! What KMS knows: by account and Region, the key stores, the keys, the aliases.
//!
//! # Invariants
//! - Serialized, it holds secrets and key material: it goes to the state file and nowhere else.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::grants::Grant;
use super::key_policy::KeyPolicy;
use super::link::Link;
use super::quota::Quota;
use super::seal::Material;
use super::stores::Store;

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

/// What a store has while the simulator runs.
#[derive(Default)]
pub(super) struct Live {
    /// There while the store is connected.
    link: Mutex<Option<Arc<Link>>>,
    quota: std::sync::OnceLock<Quota>,
}

impl Live {
    /// The way to the proxy, while there is one.
    pub(super) fn link(&self) -> Option<Arc<Link>> {
        let link = self.link.lock();
        link.unwrap_or_else(crate::sync::poisoned).clone()
    }

    /// Puts another way in the place of the one before, which ends.
    pub(super) fn set_link(&self, new: Option<Arc<Link>>) {
        let link = self.link.lock();
        let mut link = link.unwrap_or_else(crate::sync::poisoned);
        if let Some(before) = std::mem::replace(&mut *link, new) {
            before.close();
        }
    }

    /// The quota of the store.
    pub(super) fn quota(&self, rate: u32) -> &Quota {
        self.quota.get_or_init(|| Quota::per_second(rate))
    }
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

/// Seconds since 1970, to the millisecond, as KMS tells times.
pub(super) fn now() -> f64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let milliseconds = since.unwrap_or_default().as_millis();
    milliseconds as f64 / 1000.0
}
