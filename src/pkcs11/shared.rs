//! What the sessions and the health monitor of one worker have in common.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use cryptoki::object::ObjectHandle;

use super::blame;
use super::errors::{CallError, Violation};
use super::failure::{Failure, Operation};
use super::key_failures::{KeyFailures, Rejection};
use super::keys::KeyTable;
use super::login_record::LoginRecord;
use super::proof_memory::ProofMemory;
use super::rejections::Rejections;
use super::token::OpenError;
use super::watch_list::WatchList;
use crate::ekm::{ExpectedKey, History, KeySelector};
use crate::hsm_protocol::{News, Pkcs11Settings, ProofId};
use crate::secret::Secret;
use crate::sync::poisoned;

/// Sends news to the front. It may wait for the front to read.
pub type Reporter = Arc<dyn Fn(News) + Send + Sync>;

/// The state that the threads of a worker share.
pub(super) struct Shared {
    pub settings: Pkcs11Settings,
    pub pin: Option<Secret>,
    pub logins: Arc<dyn LoginRecord>,
    /// What the HSM did with each key.
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

impl Shared {
    pub(super) fn new(
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

    /// Sends a report to the front.
    pub(super) fn report(&self, news: News) {
        (self.news)(news);
    }

    /// The HSM failed: the front replaces this worker. Only the first reason is reported.
    pub(super) fn report_fatal(&self, reason: String) {
        if !self.is_failed.swap(true, Ordering::AcqRel) {
            self.report(News::Fatal(reason));
        }
    }

    /// The output of the HSM was wrong: the front uses nothing more of it.
    pub(super) fn distrust(&self, violation: Violation) {
        self.report(News::Distrusted(format!(
            "its output is wrong: {violation}"
        )));
    }

    /// Passes the outcome of a call on, and reports a wrong output.
    pub(super) fn watched<T>(&self, outcome: Result<T, CallError>) -> Result<T, CallError> {
        if let Err(CallError::Wrong(violation)) = &outcome {
            self.distrust(*violation);
        }
        outcome
    }

    /// Fails when a token that had keys has none any more.
    pub(super) fn check_keys(&self, keys: &KeyTable) -> Result<(), OpenError> {
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

    /// Reports that a key object is proved, or no longer. The next worker does not prove it again.
    pub(super) fn note_proof(&self, object: Option<ProofId>, is_proved: bool) {
        if let Some(object) = object {
            self.report(News::Proof(object, is_proved));
        }
    }

    /// The token held keys when another worker used it.
    pub(super) fn note_keys(&self) {
        self.had_keys.store(true, Ordering::Relaxed);
    }

    // ---- keys that the HSM rejects

    /// The failure of a job whose key has just failed, without a call; none: the job is to be done.
    pub(super) fn rejection(&self, operation: Operation, key: &KeySelector) -> Option<Failure> {
        let now = Instant::now();
        let (rejection, unlogged) = self.key_failures.reject(operation, key, now)?;
        self.log_rejection(operation, key, &rejection, unlogged);
        Some(rejection.into_failure())
    }

    /// The failure of a job that was let through for a rejected key and has met the same error; none: it must be settled.
    pub(super) fn rejection_again(
        &self,
        operation: Operation,
        key: &KeySelector,
        error: CallError,
    ) -> Option<Failure> {
        let now = Instant::now();
        let again = self.key_failures.reject_again(operation, key, error, now);
        let (rejection, unlogged) = again?;
        self.log_rejection(operation, key, &rejection, unlogged);
        Some(rejection.into_failure())
    }

    /// Logs and remembers that the HSM rejects a key.
    pub(super) fn add_rejection(
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
    pub(super) fn note_success(&self, operation: Operation, key: &KeySelector) {
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

    // ---- what the health monitor waits for

    /// The keys of the configuration. They are proved in the background.
    pub(super) fn expect(&self, keys: Vec<ExpectedKey>) {
        self.watch_list.set(keys);
        self.wake();
    }

    /// Ends the worker: its threads close their sessions.
    pub(super) fn end(&self) {
        *self.is_over.lock().unwrap_or_else(poisoned) = true;
        self.wake();
    }

    /// Wakes the health monitor.
    pub(super) fn wake(&self) {
        // The lock orders this with the wait.
        drop(self.is_over.lock().unwrap_or_else(poisoned));
        self.changed.notify_all();
    }

    /// Waits until the worker ends or there `is_work`, `patience` at most. Returns whether it ends.
    pub(super) fn wait_for_end(&self, patience: Duration, is_work: impl Fn() -> bool) -> bool {
        let waits = |is_over: &mut bool| !*is_over && !is_work();
        let is_over = self.is_over.lock().unwrap_or_else(poisoned);
        let waited = self.changed.wait_timeout_while(is_over, patience, waits);
        *waited.unwrap_or_else(poisoned).0
    }
}

impl Rejection {
    /// The failure of a job for this key.
    pub(super) fn into_failure(self) -> Failure {
        Failure {
            rejected_with: Some(blame::label(self.error)),
            ..Failure::of_job(self.fault, &*self.detail)
        }
    }
}
