//! The proofs of the keys that the configuration expects: in the background, one at a time, each once per key object.
//!
//! The health monitor calls [`Proofs::next`] while no health check is due, and [`Proofs::after_check`] after each one that worked.
//!
//! # Invariants
//! - A key is rejected only while the same session proves that the device works: with the health key or, without one, with a key that was
//!   proved before. An error that the device shares proves nothing.
//! - Nothing waits for a proof: a key without one is served.
//! - A rejected key is tried again after each health check, and a key object that changed is proved again.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::census::Census;
use super::key_queue::KeyQueue;
use super::proof_report::conclude;
use crate::ekm::{ExpectedKey, KeyKind, KeySelector};
use crate::pkcs11::aes_gcm::gcm::Gcm;
use crate::pkcs11::health_key::check::{Checked, Checker};
use crate::pkcs11::key_proofs::proof::{self, Failed, Outcome};
use crate::pkcs11::keys::lookup::Presence;
use crate::pkcs11::keys::object_identity::KeyObject;
use crate::pkcs11::keys::table::KeyEntry;
use crate::pkcs11::library::errors::CallError;
use crate::pkcs11::library::ffi::Session;
use crate::pkcs11::worker_state::WorkerState;
use crate::pkcs11::worker_state::connection::Connection;

/// The most missing keys that are searched for after one health check: each search may cost a scan of the token.
const SOUGHT_PER_CHECK: usize = 8;

/// The most known keys that are searched for after one health check, because another key may have been given their name.
const SEARCHED_PER_CHECK: usize = 4;

/// The most proved keys whose attributes are read again after one health check.
const READ_PER_CHECK: usize = 16;

/// The expected keys of a device that is open, and what is left to do for them.
pub(in crate::pkcs11) struct Proofs {
    expected: Arc<Vec<ExpectedKey>>,
    seen: HashMap<KeySelector, Seen>,
    backlog: VecDeque<ExpectedKey>,
    missing: KeyQueue,
    present: KeyQueue,
    census: Census,
    /// The token and its way to do AES-GCM: a proof holds for both.
    under: String,
    /// Whether it is logged that all keys were tried.
    is_told: bool,
}

/// A key as it was when it was last looked at.
struct Seen {
    key: KeyEntry,
    /// See [`KeyObject::identity`].
    object: String,
    /// Nothing is left to try until it changes.
    is_settled: bool,
    is_proved: bool,
}

/// The health monitor's hold on the device.
pub(in crate::pkcs11) struct Hold<'a> {
    pub worker: &'a WorkerState,
    pub connection: &'a Arc<Connection>,
    pub session: &'a mut Session,
    pub gcm: &'a mut Gcm,
}

/// Whether the device works with another key.
enum Witness {
    Works,
    Fails,
    /// No other key can be tried.
    None,
}

impl Proofs {
    /// Nothing is known yet. `under` names the token and its way to do AES-GCM.
    pub(in crate::pkcs11) fn new(connection: &Connection, under: String) -> Self {
        Self {
            expected: Arc::default(),
            seen: HashMap::new(),
            backlog: VecDeque::new(),
            missing: KeyQueue::default(),
            present: KeyQueue::default(),
            census: Census::of(&connection.keys),
            under,
            is_told: false,
        }
    }

    /// Whether [`Self::next`] has something to do.
    pub(in crate::pkcs11) fn has_work(&self, worker: &WorkerState) -> bool {
        !self.backlog.is_empty() || !worker.watch_list.is(&self.expected)
    }

    /// Looks at one key.
    pub(in crate::pkcs11) fn next(&mut self, hold: &mut Hold<'_>) {
        if !hold.worker.watch_list.is(&self.expected) {
            self.expected = hold.worker.watch_list.now();
            hold.worker.rejections.keep_only(&self.expected);
            self.refill(hold);
        } else if let Some(key) = self.backlog.pop_front() {
            self.look_at(&key, hold);
        }
        if self.backlog.is_empty() {
            if !(self.is_told || self.expected.is_empty()) {
                self.is_told = true;
                let (hsm, keys) = (&hold.worker.settings.name, self.expected.len());
                tracing::info!(%hsm, keys, "the keys of the configuration were tried");
            }
            let left_out = hold.worker.memory.end_round();
            if left_out > 0 {
                let hsm = &hold.worker.settings.name;
                tracing::warn!(%hsm, left_out, "more keys have problems; `xks-proxy check-config --hsm` lists all");
            }
        }
    }

    /// Looks for keys that came, went or changed, and at rejected keys again.
    pub(in crate::pkcs11) fn after_check(&mut self, hold: &mut Hold<'_>) {
        let keys = &hold.connection.keys;
        if let Err(error) = self.census.look(hold.session, keys) {
            let hsm = &hold.worker.settings.name;
            tracing::debug!(%hsm, %error, "the keys of the token could not be listed");
        }
        let missing = self.missing.take(SOUGHT_PER_CHECK);
        let present = self.present.take(SEARCHED_PER_CHECK);
        let duplicated = keys.duplicated().into_iter().take(SOUGHT_PER_CHECK);
        for selector in missing.iter().chain(&present).cloned().chain(duplicated) {
            // Found or not, the table has learned it.
            drop(keys.look_for(hold.session, &selector));
        }
        for selector in self.present.take(READ_PER_CHECK).iter().chain(&present) {
            if let Some(seen) = self.seen.get_mut(selector) {
                seen.is_settled = false;
            }
        }
        self.refill(hold);
    }

    /// Forgets the work: the device does not answer as it should.
    pub(in crate::pkcs11) fn pause(&mut self) {
        self.backlog.clear();
    }

    fn refill(&mut self, hold: &Hold<'_>) {
        self.backlog.clear();
        let expected = Arc::clone(&self.expected);
        for key in expected.iter() {
            let selector = &*key.selector;
            match hold.connection.keys.presence(selector) {
                Presence::None | Presence::Several => {
                    self.missing.add(selector);
                    self.forget(hold.worker, selector);
                }
                Presence::One(entry, _) => {
                    self.present.add(selector);
                    let seen = self.seen.get(selector);
                    if !seen.is_some_and(|seen| seen.is_settled && seen.key == entry) {
                        self.backlog.push_back(key.clone());
                    }
                }
            }
        }
        self.tell_of_duplicates(hold);
    }

    /// Another object may take the key's place.
    fn forget(&mut self, worker: &WorkerState, selector: &KeySelector) {
        if let Some(seen) = self.seen.remove(selector) {
            worker.note_proof(worker.memory.forget(&seen.object), false);
        }
        worker.rejections.set(selector, None);
    }

    fn tell_of_duplicates(&self, hold: &Hold<'_>) {
        let (hsm, memory) = (&hold.worker.settings.name, &hold.worker.memory);
        for key in self.expected.iter() {
            let selector = &*key.selector;
            let what = format!("several keys with {selector}");
            let meanwhile = match hold.connection.keys.presence(selector) {
                Presence::One(_, true) => {
                    "requests use the key that was known before, until the HSM is opened again; then they fail"
                }
                Presence::Several => "requests for this key fail",
                Presence::None | Presence::One(_, false) => {
                    memory.is_over(&what);
                    continue;
                }
            };
            if memory.has_line_for(what) {
                tracing::warn!(%hsm, key = %selector, meanwhile, "several keys have this name; keep one");
            }
        }
    }

    fn look_at(&mut self, key: &ExpectedKey, hold: &mut Hold<'_>) {
        let (keys, selector) = (&hold.connection.keys, &*key.selector);
        let Some(entry) = keys.look_again(hold.session, selector) else {
            // Gone, or not readable now: the next check looks for it.
            return self.forget(hold.worker, selector);
        };
        let seen = self.seen.get(selector);
        if let Some(seen) = seen.filter(|seen| seen.key.handle != entry.handle) {
            let worker = hold.worker;
            worker.note_proof(worker.memory.forget(&seen.object), false);
        }
        let object = KeyObject::read(hold.session, &entry, &self.under);
        let outcome = self.outcome(selector, &entry, &object, hold);
        match &outcome {
            Outcome::DeviceFails => return self.pause(),
            Outcome::Unknown(reason) => {
                let hsm = &hold.worker.settings.name;
                return tracing::debug!(%hsm, key = %selector, reason, "a key could not be proved");
            }
            Outcome::Proved | Outcome::Unfit | Outcome::Rejected(_) => {}
        }
        let seen = Seen {
            key: entry.clone(),
            object: object.identity.clone(),
            is_settled: !matches!(outcome, Outcome::Rejected(_)),
            is_proved: matches!(outcome, Outcome::Proved),
        };
        self.seen.insert(selector.clone(), seen);
        conclude(hold.worker, key, &entry, object, outcome);
    }

    fn outcome(
        &self,
        selector: &KeySelector,
        key: &KeyEntry,
        object: &KeyObject,
        hold: &mut Hold<'_>,
    ) -> Outcome {
        let usage = key.attributes.usage;
        if key.attributes.kind != KeyKind::Aes(256) || !(usage.encrypt || usage.decrypt) {
            return Outcome::Unfit;
        }
        if hold.worker.memory.is_proved(&object.identity) {
            return Outcome::Proved;
        }
        let Err(first) = hold.attempt(selector, key) else {
            return Outcome::Proved;
        };
        if let Failed::Encrypt(CallError::Wrong(_)) = first {
            return Outcome::DeviceFails;
        }
        match self.witness(hold) {
            Witness::Works => {}
            Witness::None => return Outcome::Unknown(first.to_string()),
            Witness::Fails => return Outcome::DeviceFails,
        }
        match hold.attempt(selector, key) {
            Ok(()) => Outcome::Proved,
            Err(failed) => match proof::rejection(failed) {
                Some(rejection) => Outcome::Rejected(rejection),
                None => Outcome::Unknown(failed.to_string()),
            },
        }
    }

    /// Whether the device works with the health key; without a fit one, whether it works with any key that was proved before.
    fn witness(&self, hold: &mut Hold<'_>) -> Witness {
        let health_key = &hold.worker.settings.health_key;
        let mut checker = Checker {
            session: hold.session,
            gcm: hold.gcm,
        };
        match checker.check(&hold.connection.keys, health_key, &hold.worker.history) {
            Ok(Checked::Works(_)) => Witness::Works,
            Ok(Checked::KeyUnfit(_)) => {
                let proved = |(_, seen): &(&KeySelector, &Seen)| {
                    seen.is_proved && seen.key.attributes.usage.encrypt
                };
                let other = self.seen.iter().find(proved);
                match other.map(|(selector, seen)| hold.attempt(selector, &seen.key)) {
                    Some(Ok(())) => Witness::Works,
                    Some(Err(_)) => Witness::Fails,
                    None => Witness::None,
                }
            }
            Err(_) => Witness::Fails,
        }
    }
}

impl Hold<'_> {
    /// Uses the key. After an error the session is a new one: the device may have left an operation in the old one.
    fn attempt(&mut self, selector: &KeySelector, key: &KeyEntry) -> Result<(), Failed> {
        let history = Some(self.worker.history.of(selector));
        let usage = key.attributes.usage;
        let outcome = proof::attempt(self.session, self.gcm, key.handle, usage, history);
        if let Err(Failed::Encrypt(CallError::Wrong(violation))) = outcome {
            self.worker.distrust(violation);
        }
        if outcome.is_err()
            && let Ok(session) = self.connection.slot.open_session(&self.connection.module)
        {
            *self.session = session;
        }
        outcome
    }
}
