//! Keys that a device rejects although the device works.
//!
//! Jobs for a rejected key must not delay jobs for other keys. After a known-good operation with the key has failed, jobs for this key
//! fail at once, without the queue and without a call. One job per [`RETRY_AFTER`] is tried, so that a corrected key is used again.
//!
//! # Invariants
//! - Jobs are rejected without a call only while a known-good operation with the key fails. Bad input of one caller never makes a key
//!   unavailable to other callers.
//! - Memory is bounded by [`MAX_KEYS`] for each operation.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use cryptoki::object::ObjectHandle;

use super::failure::Operation;
use crate::ekm::{KeyManagerFault, KeySelector, SpacedWarning};
use crate::pkcs11::library::errors::CallError;
use crate::sync::poisoned;

/// How long jobs for a rejected key fail without a call.
pub(in crate::pkcs11) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How long the attribution of an error is valid. During this time the same error with the same key is not tested again.
const ATTRIBUTION_VALID_FOR: Duration = Duration::from_secs(10);

/// Without a health key, the device counts as failed if two keys fail with the same error within this time.
const TWO_KEY_WINDOW: Duration = Duration::from_secs(1);

/// A failure that does not happen again within this time is deleted.
const KEPT_FOR: Duration = Duration::from_secs(60);

/// The maximum number of keys that are stored per operation. Further keys only cost more calls.
const MAX_KEYS: usize = 1_024;

/// The reason why a key is rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::pkcs11) struct Rejection {
    pub fault: KeyManagerFault,
    pub detail: Arc<str>,
    /// The error of the device.
    pub error: CallError,
    /// True if a known-good operation with the key also failed.
    pub is_proven: bool,
}

/// The keys that the device rejects, by operation.
#[derive(Default)]
pub(in crate::pkcs11) struct KeyFailures {
    encrypt: FailureTable,
    decrypt: FailureTable,
    describe: FailureTable,
}

struct FailureTable {
    began: Instant,
    /// The number of keys. It is read without the lock, because most devices reject none.
    len: AtomicUsize,
    /// The last success of the operation with any key, in microseconds since `began`.
    last_success: AtomicU64,
    keys: Mutex<HashMap<KeySelector, Entry>>,
}

struct Entry {
    rejection: Rejection,
    object: Option<ObjectHandle>,
    failed_at: Instant,
    attributed_at: Instant,
    next_attempt: Instant,
    warning: SpacedWarning,
}

impl KeyFailures {
    fn table(&self, operation: Operation) -> &FailureTable {
        match operation {
            Operation::Encrypt => &self.encrypt,
            Operation::Decrypt => &self.decrypt,
            Operation::Describe => &self.describe,
        }
    }

    /// Returns why a new job fails without a call, and the result of [`SpacedWarning::next`]; `None` if the job may be tried.
    pub(in crate::pkcs11) fn reject(
        &self,
        operation: Operation,
        key: &KeySelector,
        now: Instant,
    ) -> Option<(Rejection, Option<u64>)> {
        self.table(operation).with_proven(key, |entry| {
            if now >= entry.next_attempt {
                entry.next_attempt = now + RETRY_AFTER;
                return None;
            }
            Some((entry.rejection.clone(), entry.warning.next(now)))
        })
    }

    /// Returns whether jobs for this key are rejected without a call.
    pub(in crate::pkcs11) fn rejects(&self, operation: Operation, key: &KeySelector) -> bool {
        let rejected = self.table(operation).with_proven(key, |_| Some(()));
        rejected.is_some()
    }

    /// Returns why a job fails that was tried and got the stored error again; `None` if the cause of the error must be tested.
    pub(in crate::pkcs11) fn repeated_rejection(
        &self,
        operation: Operation,
        key: &KeySelector,
        error: CallError,
        now: Instant,
    ) -> Option<(Rejection, Option<u64>)> {
        let mut keys = self.table(operation).lock_unless_empty()?;
        let entry = keys.get_mut(key)?;
        let is_attributed =
            now.saturating_duration_since(entry.attributed_at) < ATTRIBUTION_VALID_FOR;
        if !is_attributed || !entry.rejection.is_proven || entry.rejection.error != error {
            return None;
        }
        entry.failed_at = now;
        entry.next_attempt = now + RETRY_AFTER;
        Some((entry.rejection.clone(), entry.warning.next(now)))
    }

    /// Stores a failure whose cause was tested. Returns the result of [`SpacedWarning::next`].
    pub(in crate::pkcs11) fn add(
        &self,
        operation: Operation,
        key: &KeySelector,
        object: Option<ObjectHandle>,
        rejection: Rejection,
        now: Instant,
    ) -> Option<u64> {
        let table = self.table(operation);
        let mut keys = table.lock();
        if keys.len() >= MAX_KEYS && !keys.contains_key(key) {
            forget_oldest(&mut keys);
        }
        let warning = keys.remove(key).map(|entry| entry.warning);
        let warning = warning.unwrap_or_default();
        let unlogged = warning.next(now);
        let entry = Entry {
            rejection,
            object,
            failed_at: now,
            attributed_at: now,
            next_attempt: now + RETRY_AFTER,
            warning,
        };
        keys.insert(key.clone(), entry);
        table.len.store(keys.len(), Ordering::Release);
        unlogged
    }

    /// Notes that the operation worked with this key. Returns whether the key was rejected before.
    pub(in crate::pkcs11) fn remove(
        &self,
        operation: Operation,
        key: &KeySelector,
        now: Instant,
    ) -> bool {
        let table = self.table(operation);
        table.note_success(now);
        let Some(mut keys) = table.lock_unless_empty() else {
            return false;
        };
        let removed = keys.remove(key);
        table.len.store(keys.len(), Ordering::Release);
        removed.is_some_and(|entry| entry.rejection.is_proven)
    }

    /// Returns whether this failure means that the device failed. For devices without a health key: another key has just failed with the same error,
    /// and no key has worked since then. Two names of one object count as one key.
    pub(in crate::pkcs11) fn indicates_device_failure(
        &self,
        operation: Operation,
        key: &KeySelector,
        object: Option<ObjectHandle>,
        error: CallError,
        now: Instant,
    ) -> bool {
        let table = self.table(operation);
        let last_success = table.last_success();
        let Some(keys) = table.lock_unless_empty() else {
            return false;
        };
        keys.iter().any(|(other, entry)| {
            let is_recent = now.saturating_duration_since(entry.failed_at) <= TWO_KEY_WINDOW;
            let is_other = other != key && (object.is_none() || entry.object != object);
            is_other
                && is_recent
                && entry.rejection.error == error
                && entry.failed_at > last_success
        })
    }

    /// Deletes all failures, because the device is opened again.
    pub(in crate::pkcs11) fn clear(&self) {
        for table in [&self.encrypt, &self.decrypt, &self.describe] {
            table.retain(|_| false);
        }
    }

    /// Deletes old failures.
    pub(in crate::pkcs11) fn forget_old(&self, now: Instant) {
        for table in [&self.encrypt, &self.decrypt, &self.describe] {
            table.retain(|entry| now.saturating_duration_since(entry.failed_at) < KEPT_FOR);
        }
    }

    /// The number of keys that are rejected for encryption or decryption.
    pub(in crate::pkcs11) fn count(&self) -> usize {
        let keys = (self.encrypt.lock(), self.decrypt.lock());
        let rejected = |keys: &HashMap<KeySelector, Entry>, key: &KeySelector| {
            keys.get(key).is_some_and(|entry| entry.rejection.is_proven)
        };
        let encrypt_keys = keys.0.keys().filter(|key| rejected(&keys.0, key));
        let decrypt_only_keys = keys
            .1
            .keys()
            .filter(|key| rejected(&keys.1, key) && !rejected(&keys.0, key));
        encrypt_keys.count() + decrypt_only_keys.count()
    }
}

impl Default for FailureTable {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            len: AtomicUsize::new(0),
            last_success: AtomicU64::new(0),
            keys: Mutex::default(),
        }
    }
}

impl FailureTable {
    fn lock(&self) -> MutexGuard<'_, HashMap<KeySelector, Entry>> {
        self.keys.lock().unwrap_or_else(poisoned)
    }

    fn lock_unless_empty(&self) -> Option<MutexGuard<'_, HashMap<KeySelector, Entry>>> {
        (self.len.load(Ordering::Acquire) > 0).then(|| self.lock())
    }

    /// Calls `look` for a key whose rejection is proven. Returns `None` if it is not proven or `look` returns `None`.
    fn with_proven<T>(
        &self,
        key: &KeySelector,
        look: impl FnOnce(&mut Entry) -> Option<T>,
    ) -> Option<T> {
        let mut keys = self.lock_unless_empty()?;
        let entry = keys.get_mut(key)?;
        entry.rejection.is_proven.then(|| look(entry)).flatten()
    }

    fn retain(&self, stays: impl Fn(&Entry) -> bool) {
        let mut keys = self.lock();
        keys.retain(|_, entry| stays(entry));
        self.len.store(keys.len(), Ordering::Release);
    }

    fn note_success(&self, now: Instant) {
        let since = now.saturating_duration_since(self.began).as_micros();
        let since = u64::try_from(since).unwrap_or(u64::MAX);
        self.last_success.store(since, Ordering::Relaxed);
    }

    fn last_success(&self) -> Instant {
        self.began + Duration::from_micros(self.last_success.load(Ordering::Relaxed))
    }
}

fn forget_oldest(keys: &mut HashMap<KeySelector, Entry>) {
    let oldest = keys.iter().min_by_key(|(_, entry)| entry.failed_at);
    if let Some(key) = oldest.map(|(key, _)| key.clone()) {
        keys.remove(&key);
    }
}

#[cfg(test)]
mod tests;
