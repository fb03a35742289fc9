//! The history of each key on an HSM: its last IVs, and whether the HSM has decrypted a ciphertext that it made.
//!
//! # Invariants
//! - Memory is bounded: [`IVS_PER_KEY`] IVs for each of at most twice [`KEYS`] keys, about 26 MB for each HSM. A key uses 50 kB after 1,024
//!   encryptions.
//! - IVs are never logged.

use std::collections::{HashMap, HashSet, VecDeque};
use std::mem;
use std::sync::{Mutex, MutexGuard};

use super::selector::KeySelector;
use crate::iv::Iv;
use crate::sync::poisoned;

/// The number of IVs that are remembered for each key.
const IVS_PER_KEY: usize = 1_024;

/// The size of a generation, in keys. When it is full, keys that were not used during this generation are forgotten.
const KEYS: usize = 256;

/// The history of all keys of an HSM, over all of its sessions, since the start of the process.
#[derive(Debug, Default)]
pub struct History(Mutex<Keys>);

/// The history of one key.
#[derive(Clone, Copy)]
pub struct KeyHistory<'a> {
    all: &'a History,
    key: &'a KeySelector,
}

/// Two generations of keys: the older one is forgotten when the newer one is full.
#[derive(Debug, Default)]
struct Keys {
    recent: HashMap<KeySelector, Uses>,
    former: HashMap<KeySelector, Uses>,
}

#[derive(Debug, Default)]
struct Uses {
    has_decrypted: bool,
    order: VecDeque<Iv>,
    ivs: HashSet<Iv>,
}

impl History {
    /// Returns the history of one key.
    pub fn of<'a>(&'a self, key: &'a KeySelector) -> KeyHistory<'a> {
        KeyHistory { all: self, key }
    }

    fn lock(&self) -> MutexGuard<'_, Keys> {
        self.0.lock().unwrap_or_else(poisoned)
    }
}

impl KeyHistory<'_> {
    /// Adds an IV. Returns false if it is among the last IVs of the key.
    #[must_use = "an IV that was used before must not be used again"]
    pub fn add_iv(&self, iv: Iv) -> bool {
        self.all.lock().with(self.key, |uses| uses.add_iv(iv))
    }

    /// Notes that the HSM has decrypted a ciphertext that it made with this key.
    pub fn note_decryption(&self) {
        self.all
            .lock()
            .with(self.key, |uses| uses.has_decrypted = true);
    }

    /// Returns whether [`KeyHistory::note_decryption`] was called.
    pub fn has_decrypted(&self) -> bool {
        self.all.lock().with(self.key, |uses| uses.has_decrypted)
    }
}

impl Keys {
    fn with<T>(&mut self, key: &KeySelector, work: impl FnOnce(&mut Uses) -> T) -> T {
        if let Some(uses) = self.recent.get_mut(key) {
            return work(uses);
        }
        if self.recent.len() >= KEYS {
            self.former = mem::take(&mut self.recent);
        }
        let uses = self.former.remove(key).unwrap_or_default();
        work(self.recent.entry(key.clone()).or_insert(uses))
    }
}

impl Uses {
    fn add_iv(&mut self, iv: Iv) -> bool {
        if !self.ivs.insert(iv) {
            return false;
        }
        if self.order.len() == IVS_PER_KEY
            && let Some(oldest) = self.order.pop_front()
        {
            self.ivs.remove(&oldest);
        }
        self.order.push_back(iv);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> KeySelector {
        KeySelector::Label(number.to_string())
    }

    fn iv(number: usize) -> Iv {
        let mut iv = [0; 12];
        iv[..8].copy_from_slice(&number.to_be_bytes());
        Iv::new(&iv).unwrap()
    }

    #[test]
    fn an_iv_is_known_until_1_024_others_came_after_it() {
        let (history, key) = (History::default(), key(1));
        let ivs = history.of(&key);
        assert!((0..IVS_PER_KEY).all(|n| ivs.add_iv(iv(n))));
        assert!((0..IVS_PER_KEY).all(|n| !ivs.add_iv(iv(n))));
        assert!(ivs.add_iv(iv(IVS_PER_KEY)), "a new one");
        assert!(!ivs.add_iv(iv(1)));
        assert!(ivs.add_iv(iv(0)), "the oldest one was forgotten");
    }

    #[test]
    fn each_key_has_its_own_ivs() {
        let history = History::default();
        let keys = [key(1), key(2)];
        assert!(keys.iter().all(|key| history.of(key).add_iv(iv(7))));
        assert!(keys.iter().all(|key| !history.of(key).add_iv(iv(7))));
    }

    #[test]
    fn the_number_of_keys_is_bounded_and_a_key_in_use_is_not_forgotten() {
        let (history, used) = (History::default(), key(0));
        assert!(history.of(&used).add_iv(iv(1)));
        history.of(&used).note_decryption();
        for number in 1..10 * KEYS {
            assert!(history.of(&key(number)).add_iv(iv(1)));
            assert!(history.of(&used).has_decrypted(), "{number}");
        }
        assert!(!history.of(&used).add_iv(iv(1)));
        assert!(!history.of(&key(1)).has_decrypted());
        let keys = history.lock();
        assert!(keys.recent.len() + keys.former.len() <= 2 * KEYS);
    }
}
