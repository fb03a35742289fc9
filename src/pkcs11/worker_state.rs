//! The state that the sessions and the health monitor of one worker share: [`WorkerState`], and [`connection::Connection`] for the open
//! token.
//!
//! It imports `library`, `token`, `keys`, `aes_gcm`, `health_key`, `error_attribution` and `key_proofs`.
//!
//! # Lock order
//! A thread of a worker holds at most two locks at a time, and only in one of these orders:
//! 1. `KeyTable::known` before `KeyTable::duplicated` (`keys/table.rs`, `keys/lookup.rs`);
//! 2. the encryption table of `KeyFailures` before its decryption table (`error_attribution/key_failures.rs`).
//!
//! All other locks are taken alone: `WorkerState::is_over`, `ProofMemory`, `KnownCiphertexts`, `Connection::known_good` and
//! `ekm::History`. No lock is held during a PKCS#11 call or while news is sent to the front, with one exception: the [`LoginRecord`] of
//! `worker::launcher` is locked during `C_Login`, so that the logins of a worker do not overlap.

pub(in crate::pkcs11) mod connection;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use cryptoki::object::ObjectHandle;

use crate::ekm::{ExpectedKey, History, KeySelector};
use crate::hsm_protocol::{News, Pkcs11Settings, ProofId};
use crate::pkcs11::error_attribution::error_class;
use crate::pkcs11::error_attribution::failure::{Failure, Operation};
use crate::pkcs11::error_attribution::key_failures::{KeyFailures, Rejection};
use crate::pkcs11::key_proofs::memory::ProofMemory;
use crate::pkcs11::key_proofs::rejections::Rejections;
use crate::pkcs11::key_proofs::watch_list::WatchList;
use crate::pkcs11::keys::table::KeyTable;
use crate::pkcs11::library::errors::{CallError, Violation};
use crate::pkcs11::library::ffi::Session;
use crate::pkcs11::token::login;
use crate::pkcs11::token::login_record::LoginRecord;
use crate::pkcs11::token::open_error::OpenError;
use crate::pkcs11::token::slot::TokenIdentity;
use crate::secret::Secret;
use crate::sync::poisoned;

/// Sends news to the front. It may block until the front reads.
pub type Reporter = Arc<dyn Fn(News) + Send + Sync>;

/// The state that the threads of a worker share.
pub(in crate::pkcs11) struct WorkerState {
    pub settings: Pkcs11Settings,
    pub pin: Option<Secret>,
    pub logins: Arc<dyn LoginRecord>,
    /// The last IVs of each key.
    pub history: History,
    /// Keys that the HSM rejects although it works.
    pub key_failures: KeyFailures,
    pub watch_list: WatchList,
    pub rejections: Rejections,
    pub memory: ProofMemory,
    news: Reporter,
    is_failed: AtomicBool,
    had_keys: AtomicBool,
    is_over: Mutex<bool>,
    changed: Condvar,
}

impl WorkerState {
    pub(in crate::pkcs11) fn new(
        settings: Pkcs11Settings,
        pin: Option<Secret>,
        logins: Arc<dyn LoginRecord>,
        news: Reporter,
    ) -> Self {
        Self {
            settings,
            pin,
            logins,
            history: History::default(),
            key_failures: KeyFailures::default(),
            watch_list: WatchList::default(),
            rejections: Rejections::default(),
            memory: ProofMemory::default(),
            news,
            is_failed: AtomicBool::new(false),
            had_keys: AtomicBool::new(false),
            is_over: Mutex::new(false),
            changed: Condvar::new(),
        }
    }

    /// Logs in, with one attempt. Does nothing without a PIN: then the token needs no login.
    pub(in crate::pkcs11) fn log_in(
        &self,
        session: &Session,
        identity: &TokenIdentity,
    ) -> Result<(), OpenError> {
        login::log_in(session, identity, self.pin.as_ref(), &*self.logins)
    }

    /// Sends a report to the front.
    pub(in crate::pkcs11) fn report(&self, news: News) {
        (self.news)(news);
    }

    /// Reports that the HSM failed, so that the front replaces this worker. Only the first reason is reported.
    pub(in crate::pkcs11) fn report_fatal(&self, reason: String) {
        if !self.is_failed.swap(true, Ordering::AcqRel) {
            self.report(News::Fatal(reason));
        }
    }

    /// Reports that the output of the HSM was wrong, so that the front stops using it.
    pub(in crate::pkcs11) fn distrust(&self, violation: Violation) {
        self.report(News::Distrusted(format!(
            "its output is wrong: {violation}"
        )));
    }

    /// Reports a wrong output. Returns the outcome unchanged.
    pub(in crate::pkcs11) fn watched<T>(
        &self,
        outcome: Result<T, CallError>,
    ) -> Result<T, CallError> {
        if let Err(CallError::Wrong(violation)) = &outcome {
            self.distrust(*violation);
        }
        outcome
    }

    /// Fails if the token had keys and has none now.
    pub(in crate::pkcs11) fn check_keys(&self, keys: &KeyTable) -> Result<(), OpenError> {
        match (keys.is_empty(), self.had_keys.load(Ordering::Relaxed)) {
            (false, false) => {
                self.had_keys.store(true, Ordering::Relaxed);
                self.report(News::HoldsKeys(true));
            }
            (false, true) | (true, false) => {}
            (true, true) => return Err(OpenError::TokenEmpty),
        }
        Ok(())
    }

    /// Reports that a key object is proved, or no longer proved. The next worker does not repeat a proof.
    pub(in crate::pkcs11) fn note_proof(&self, object: Option<ProofId>, is_proved: bool) {
        if let Some(object) = object {
            self.report(News::Proof(object, is_proved));
        }
    }

    /// Notes that the token held keys when a previous worker used it.
    pub(in crate::pkcs11) fn note_keys(&self) {
        self.had_keys.store(true, Ordering::Relaxed);
    }

    // ---- keys that the HSM rejects

    /// Returns the failure of a job for a rejected key; `None` if the job must be done.
    pub(in crate::pkcs11) fn rejection(
        &self,
        operation: Operation,
        key: &KeySelector,
    ) -> Option<Failure> {
        let now = Instant::now();
        let (rejection, unlogged) = self.key_failures.reject(operation, key, now)?;
        self.log_rejection(operation, key, &rejection, unlogged);
        Some(rejection.into_failure())
    }

    /// Returns the failure of a job that was tried for a rejected key and got the same error; `None` if the error must be attributed.
    pub(in crate::pkcs11) fn repeated_rejection(
        &self,
        operation: Operation,
        key: &KeySelector,
        error: CallError,
    ) -> Option<Failure> {
        let now = Instant::now();
        let again = self
            .key_failures
            .repeated_rejection(operation, key, error, now);
        let (rejection, unlogged) = again?;
        self.log_rejection(operation, key, &rejection, unlogged);
        Some(rejection.into_failure())
    }

    /// Logs and stores that the HSM rejects a key.
    pub(in crate::pkcs11) fn add_rejection(
        &self,
        operation: Operation,
        key: &KeySelector,
        object: Option<ObjectHandle>,
        rejection: &Rejection,
    ) {
        let (failures, now) = (&self.key_failures, Instant::now());
        let unlogged = failures.add(operation, key, object, rejection.clone(), now);
        self.log_rejection(operation, key, rejection, unlogged);
    }

    /// Notes that an operation has worked with a key.
    pub(in crate::pkcs11) fn note_success(&self, operation: Operation, key: &KeySelector) {
        if self.key_failures.remove(operation, key, Instant::now()) {
            let hsm = &self.settings.name;
            tracing::info!(%hsm, %key, ?operation, "the HSM accepts the key again");
        }
    }

    fn log_rejection(
        &self,
        operation: Operation,
        key: &KeySelector,
        rejection: &Rejection,
        unlogged: Option<u64>,
    ) {
        let Some(unlogged) = unlogged else { return };
        let (hsm, error) = (&self.settings.name, &rejection.detail);
        tracing::warn!(
            %hsm,
            %key,
            ?operation,
            %error,
            unlogged,
            "the HSM rejects a key; requests for this key fail, other keys are not affected"
        );
    }

    // ---- events of the health monitor

    /// Replaces the expected keys. They are proved in the background.
    pub(in crate::pkcs11) fn expect(&self, keys: Vec<ExpectedKey>) {
        self.watch_list.set(keys);
        self.wake();
    }

    /// Ends the worker: its threads close their sessions.
    pub(in crate::pkcs11) fn end(&self) {
        *self.is_over.lock().unwrap_or_else(poisoned) = true;
        self.wake();
    }

    /// Wakes the health monitor.
    pub(in crate::pkcs11) fn wake(&self) {
        // Taking the lock prevents a lost wake-up: the waiting thread either sees the change or already waits.
        drop(self.is_over.lock().unwrap_or_else(poisoned));
        self.changed.notify_all();
    }

    /// Waits until the worker ends or `is_work` returns true, at most for `patience`. Returns whether the worker ends.
    pub(in crate::pkcs11) fn wait_for_end(
        &self,
        patience: Duration,
        is_work: impl Fn() -> bool,
    ) -> bool {
        let waits = |is_over: &mut bool| !*is_over && !is_work();
        let is_over = self.is_over.lock().unwrap_or_else(poisoned);
        let waited = self.changed.wait_timeout_while(is_over, patience, waits);
        *waited.unwrap_or_else(poisoned).0
    }
}

impl Rejection {
    /// The failure of a job for this key.
    pub(in crate::pkcs11) fn into_failure(self) -> Failure {
        Failure {
            rejected_with: Some(error_class::label(self.error)),
            ..Failure::job(self.fault, &*self.detail)
        }
    }
}
