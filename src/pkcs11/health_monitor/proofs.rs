//! Proves the expected keys in the background, one at a time, each key object once.
//!
//! The health monitor calls [`Proofs::next`] while no health check is due, and [`Proofs::after_check`] after each successful check.
//!
//! # Invariants
//! - A key is rejected only if a test on the same session shows that the device works: with the health key or, without one, with a key
//!   that was proved before.
//! - No request waits for a proof: keys without a proof are served.
//! - The proof of a rejected key is repeated after each health check, and the proof of a key object after a change of the object.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::key_queue::KeyQueue;
use super::key_scan::KeyScan;
use super::proof_report::publish_outcome;
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

/// The maximum number of missing keys that are searched for after a health check. Each search may scan the whole token.
const MISSING_SEARCHED_PER_CHECK: usize = 8;

/// The maximum number of present keys that are searched for after a health check, to find further keys of the same name.
const PRESENT_SEARCHED_PER_CHECK: usize = 4;

/// The maximum number of present keys whose attributes are read again after a health check.
const READ_PER_CHECK: usize = 16;

/// The expected keys of an open token, and the pending work for them.
pub(in crate::pkcs11) struct Proofs {
    expected: Arc<Vec<ExpectedKey>>,
    seen: HashMap<KeySelector, Seen>,
    backlog: VecDeque<ExpectedKey>,
    missing: KeyQueue,
    present: KeyQueue,
    key_scan: KeyScan,
    /// The token and its GCM plan: a proof is valid for both.
    context: String,
    /// True if it was logged that all keys were tried.
    is_logged: bool,
}

/// A key as it was when it was last read.
struct Seen {
    key: KeyEntry,
    /// See [`KeyObject::identity`].
    object: String,
    /// True if no work is left until the key changes.
    is_settled: bool,
    is_proved: bool,
}

/// The session of the health monitor, for proofs.
pub(in crate::pkcs11) struct TokenAccess<'a> {
    pub worker: &'a WorkerState,
    pub connection: &'a Arc<Connection>,
    pub session: &'a mut Session,
    pub gcm: &'a mut Gcm,
}

/// The result of a test with another key.
enum DeviceTest {
    Works,
    Fails,
    /// No other key is available for a test.
    None,
}

impl Proofs {
    /// Starts without results. `context` identifies the token and its GCM plan.
    pub(in crate::pkcs11) fn new(connection: &Connection, context: String) -> Self {
        Self {
            expected: Arc::default(),
            seen: HashMap::new(),
            backlog: VecDeque::new(),
            missing: KeyQueue::default(),
            present: KeyQueue::default(),
            key_scan: KeyScan::of(&connection.keys),
            context,
            is_logged: false,
        }
    }

    /// Returns whether [`Self::next`] has something to do.
    pub(in crate::pkcs11) fn has_work(&self, worker: &WorkerState) -> bool {
        !self.backlog.is_empty() || !worker.watch_list.is(&self.expected)
    }

    /// Does one unit of work: starts with a new list of expected keys, or proves one key.
    pub(in crate::pkcs11) fn next(&mut self, token: &mut TokenAccess<'_>) {
        if !token.worker.watch_list.is(&self.expected) {
            self.expected = token.worker.watch_list.now();
            token.worker.rejections.keep_only(&self.expected);
            self.refill(token);
        } else if let Some(key) = self.backlog.pop_front() {
            self.prove(&key, token);
        }
        if self.backlog.is_empty() {
            if !(self.is_logged || self.expected.is_empty()) {
                self.is_logged = true;
                let (hsm, keys) = (&token.worker.settings.name, self.expected.len());
                tracing::info!(%hsm, keys, "the keys of the configuration were tried");
            }
            let left_out = token.worker.memory.end_round();
            if left_out > 0 {
                let hsm = &token.worker.settings.name;
                tracing::warn!(%hsm, left_out, "more keys have problems; `xks-proxy check-config --hsm` lists all");
            }
        }
    }

    /// Finds keys that appeared, vanished or changed, and schedules them and the rejected keys for a proof.
    pub(in crate::pkcs11) fn after_check(&mut self, token: &mut TokenAccess<'_>) {
        let keys = &token.connection.keys;
        if let Err(error) = self.key_scan.scan(token.session, keys) {
            let hsm = &token.worker.settings.name;
            tracing::debug!(%hsm, %error, "the keys of the token could not be listed");
        }
        let missing = self.missing.take(MISSING_SEARCHED_PER_CHECK);
        let present = self.present.take(PRESENT_SEARCHED_PER_CHECK);
        let duplicated = keys
            .duplicated()
            .into_iter()
            .take(MISSING_SEARCHED_PER_CHECK);
        for selector in missing.iter().chain(&present).cloned().chain(duplicated) {
            // The search updates the table, whatever its result.
            drop(keys.search_again(token.session, &selector));
        }
        for selector in self.present.take(READ_PER_CHECK).iter().chain(&present) {
            if let Some(seen) = self.seen.get_mut(selector) {
                seen.is_settled = false;
            }
        }
        self.refill(token);
    }

    /// Drops the pending work, because the device does not work.
    pub(in crate::pkcs11) fn clear_backlog(&mut self) {
        self.backlog.clear();
    }

    fn refill(&mut self, token: &TokenAccess<'_>) {
        self.backlog.clear();
        let expected = Arc::clone(&self.expected);
        for key in expected.iter() {
            let selector = &*key.selector;
            match token.connection.keys.presence(selector) {
                Presence::None | Presence::Several => {
                    self.missing.add(selector);
                    self.forget(token.worker, selector);
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
        self.log_duplicates(token);
    }

    /// Deletes the results of a key that is missing: another object may get its name.
    fn forget(&mut self, worker: &WorkerState, selector: &KeySelector) {
        if let Some(seen) = self.seen.remove(selector) {
            worker.note_proof(worker.memory.forget(&seen.object), false);
        }
        worker.rejections.set(selector, None);
    }

    fn log_duplicates(&self, token: &TokenAccess<'_>) {
        let (hsm, memory) = (&token.worker.settings.name, &token.worker.memory);
        for key in self.expected.iter() {
            let selector = &*key.selector;
            let topic = format!("several keys with {selector}");
            let effect = match token.connection.keys.presence(selector) {
                Presence::One(_, true) => {
                    "requests use the key that was found first, until the HSM is reopened; then they fail"
                }
                Presence::Several => "requests for this key fail",
                Presence::None | Presence::One(_, false) => {
                    memory.end_topic(&topic);
                    continue;
                }
            };
            if memory.may_log_once(topic) {
                tracing::warn!(%hsm, key = %selector, effect, "several keys have this name; keep one");
            }
        }
    }

    fn prove(&mut self, key: &ExpectedKey, token: &mut TokenAccess<'_>) {
        let (keys, selector) = (&token.connection.keys, &*key.selector);
        let Some(entry) = keys.reread(token.session, selector) else {
            // Deleted, or not readable: the key is searched for after the next health check.
            return self.forget(token.worker, selector);
        };
        let seen = self.seen.get(selector);
        if let Some(seen) = seen.filter(|seen| seen.key.handle != entry.handle) {
            let worker = token.worker;
            worker.note_proof(worker.memory.forget(&seen.object), false);
        }
        let object = KeyObject::read(token.session, &entry, &self.context);
        let outcome = self.outcome(selector, &entry, &object, token);
        match &outcome {
            Outcome::DeviceFails => return self.clear_backlog(),
            Outcome::Unknown(reason) => {
                let hsm = &token.worker.settings.name;
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
        publish_outcome(token.worker, key, &entry, object, outcome);
    }

    fn outcome(
        &self,
        selector: &KeySelector,
        key: &KeyEntry,
        object: &KeyObject,
        token: &mut TokenAccess<'_>,
    ) -> Outcome {
        let usage = key.attributes.usage;
        if key.attributes.kind != KeyKind::Aes(256) || !(usage.encrypt || usage.decrypt) {
            return Outcome::Unfit;
        }
        if token.worker.memory.is_proved(&object.identity) {
            return Outcome::Proved;
        }
        let Err(first) = token.attempt(selector, key) else {
            return Outcome::Proved;
        };
        if let Failed::Encrypt(CallError::Wrong(_)) = first {
            return Outcome::DeviceFails;
        }
        match self.test_device(token) {
            DeviceTest::Works => {}
            DeviceTest::None => return Outcome::Unknown(first.to_string()),
            DeviceTest::Fails => return Outcome::DeviceFails,
        }
        match token.attempt(selector, key) {
            Ok(()) => Outcome::Proved,
            Err(failed) => match proof::rejection(failed) {
                Some(rejection) => Outcome::Rejected(rejection),
                None => Outcome::Unknown(failed.to_string()),
            },
        }
    }

    /// Tests the device with the health key or, without one, with a key that was proved before.
    fn test_device(&self, token: &mut TokenAccess<'_>) -> DeviceTest {
        let health_key = &token.worker.settings.health_key;
        let mut checker = Checker {
            session: token.session,
            gcm: token.gcm,
        };
        match checker.check(&token.connection.keys, health_key, &token.worker.history) {
            Ok(Checked::Works(_)) => DeviceTest::Works,
            Ok(Checked::KeyUnfit(_)) => {
                let proved = |(_, seen): &(&KeySelector, &Seen)| {
                    seen.is_proved && seen.key.attributes.usage.encrypt
                };
                let other = self.seen.iter().find(proved);
                match other.map(|(selector, seen)| token.attempt(selector, &seen.key)) {
                    Some(Ok(())) => DeviceTest::Works,
                    Some(Err(_)) => DeviceTest::Fails,
                    None => DeviceTest::None,
                }
            }
            Err(_) => DeviceTest::Fails,
        }
    }
}

impl TokenAccess<'_> {
    /// Tries the key. Replaces the session after an error, because an operation may still be active in it.
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
