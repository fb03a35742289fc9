//! The state of one HSM, shared by its requests, sessions and supervisor.

pub(in crate::hsm) mod circuit_breaker;
pub(in crate::hsm) mod last_check;
pub(in crate::hsm) mod proved_objects;
pub(in crate::hsm) mod rejected_keys;
pub(in crate::hsm) mod trust;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};

use crate::ekm::{
    Condition, DeviceReport, ExpectedKey, History, KeyManagerError, KeySelector, KeyState,
};
use crate::hsm::events::EventSender;
use crate::hsm::metrics::DeviceMetrics;
use crate::hsm::queue::job::Job;
use crate::hsm::queue::load_estimate::LoadEstimate;
use crate::hsm::queue::pool::{Pool, QueueError};
use crate::hsm::state::circuit_breaker::Phase;
use crate::hsm::state::last_check::LastCheck;
use crate::hsm::state::proved_objects::ProvedObjects;
use crate::hsm::state::rejected_keys::RejectedKeys;
use crate::hsm::state::trust::Trust;
use crate::hsm::worker::session::Session;
use crate::hsm::worker::view::WorkerView;
use crate::hsm_protocol::HsmSettings;
use crate::sync::Lock;

/// The maximum number of waiting jobs, as a bound on memory. Usually a job is rejected earlier because it could not be done in time, see
/// [`HsmState::submit`].
const MAX_QUEUE: usize = 4_096;

/// The state of one HSM.
pub(in crate::hsm) struct HsmState {
    pub name: Arc<str>,
    pub settings: ArcSwap<HsmSettings>,
    pub metrics: DeviceMetrics,
    pub trust: Trust,
    /// The IVs of the last encryptions, to detect a worker that repeats the random numbers of a previous one.
    pub history: History,
    pub load: LoadEstimate,
    pub pool: Pool<Job, Session>,
    /// Keys that the worker has just rejected.
    pub rejected_keys: RejectedKeys,
    /// The keys that the configuration expects.
    pub expected_keys: ArcSwap<Vec<ExpectedKey>>,
    /// Key objects that workers have proved.
    pub proved_objects: ProvedObjects,
    pub last_check: LastCheck,
    /// The worker that serves.
    serving: ArcSwapOption<WorkerView>,
    usable: AtomicBool,
    /// True if the token has ever held keys.
    pub had_keys: AtomicBool,
    /// True if the HSM could not be opened with the newest settings.
    pub rejects_settings: AtomicBool,
    event_sender: EventSender,
    /// Serializes the transitions: taking over, suspending and closing.
    transition: Lock<()>,
}

impl HsmState {
    pub(in crate::hsm) fn new(
        settings: HsmSettings,
        metrics: DeviceMetrics,
        event_sender: EventSender,
    ) -> Self {
        Self {
            name: Arc::clone(&settings.name),
            settings: ArcSwap::from_pointee(settings),
            metrics,
            trust: Trust::default(),
            history: History::default(),
            load: LoadEstimate::new(),
            pool: Pool::new(MAX_QUEUE),
            rejected_keys: RejectedKeys::default(),
            expected_keys: ArcSwap::default(),
            proved_objects: ProvedObjects::default(),
            last_check: LastCheck::none(),
            serving: ArcSwapOption::empty(),
            usable: AtomicBool::new(false),
            had_keys: AtomicBool::new(false),
            rejects_settings: AtomicBool::new(false),
            event_sender,
            transition: Lock::default(),
        }
    }

    /// Locks out transitions while the guard lives.
    pub(in crate::hsm) fn transition(&self) -> MutexGuard<'_, ()> {
        self.transition.lock()
    }

    pub(in crate::hsm) fn is_usable(&self) -> bool {
        self.usable.load(Ordering::Acquire) && self.trust.is_kept()
    }

    /// Sends events to the supervisor.
    pub(in crate::hsm) fn event_sender(&self) -> &EventSender {
        &self.event_sender
    }

    /// Estimates how long a new job would take, for the choice between HSMs.
    pub(in crate::hsm) fn suspected_wait(&self) -> Duration {
        self.load.suspected_wait(self.pool.depth())
    }

    /// Updates the gauges.
    pub(in crate::hsm) fn publish_gauges(&self) {
        let depth = i64::try_from(self.pool.depth()).unwrap_or(i64::MAX);
        self.metrics.depth.set(depth);
        self.metrics.set_lost(self.load.lost());
        let serving = self.serving();
        let sessions = serving.map_or(0, |view| view.open_sessions());
        self.metrics.set_sessions(sessions);
    }

    // ---- keys

    /// The state of the key as the serving worker reported it; `None` while no worker serves.
    pub(in crate::hsm) fn key_state(&self, key: &KeySelector) -> Option<KeyState> {
        let serving = self.serving.load();
        serving.as_ref()?.keys.state(key)
    }

    /// The error of a job whose key a proof has rejected. `None` while the HSM does not serve.
    pub(in crate::hsm) fn rejection(&self, key: &KeySelector) -> Option<KeyManagerError> {
        if !self.is_usable() {
            return None;
        }
        let (fault, reason) = self.serving.load().as_ref()?.keys.rejection(key)?;
        Some(self.error(fault, format!("the key with {key} {reason}")))
    }

    // ---- state

    /// The worker that serves.
    pub(in crate::hsm) fn serving(&self) -> Option<Arc<WorkerView>> {
        self.serving.load_full()
    }

    /// Lets this worker serve. Returns false if the HSM has lost trust in the meantime.
    pub(in crate::hsm) fn take_over(&self, view: &Arc<WorkerView>) -> bool {
        let transition = self.transition();
        if !self.trust.is_kept() {
            return false;
        }
        self.pool.remove_all();
        self.rejected_keys.clear();
        self.serving.store(Some(Arc::clone(view)));
        self.pool.open();
        let sessions = view.sessions.iter().filter(|session| session.is_ready());
        let firsts: Vec<_> = sessions
            .filter_map(|session| Some((session, self.pool.add(Arc::clone(session))?)))
            .collect();
        self.usable.store(true, Ordering::Release);
        let (condition, reason) = view.health();
        self.publish(condition, &reason);
        self.enter(Phase::Usable);
        drop(transition);
        for (session, job) in firsts {
            session.send(self, job);
        }
        true
    }

    /// Suspends the HSM if this is the serving worker: jobs wait for the next worker.
    pub(in crate::hsm) fn suspend(&self, worker: u32, reason: &str) {
        let transition = self.transition();
        if self.serving().is_some_and(|view| view.number == worker) {
            self.serving.store(None);
            self.usable.store(false, Ordering::Release);
            self.pool.suspend();
            self.enter(Phase::Probing);
            self.publish(Condition::Down, reason);
        }
        drop(transition);
    }

    /// Closes the HSM: waiting and new jobs fail at once.
    pub(in crate::hsm) fn close(&self, reason: &str) {
        let transition = self.transition();
        self.serving.store(None);
        self.usable.store(false, Ordering::Release);
        self.enter(Phase::Failed);
        self.publish(Condition::Down, reason);
        let waiting = self.pool.close();
        drop(transition);
        for job in waiting {
            job.work.fail(self.queue_error(QueueError::Closed));
        }
    }

    /// Stops using the HSM, because its output was wrong.
    pub(in crate::hsm) fn distrust(&self, worker: u32, reason: String) {
        if !self.trust.lose(reason.clone()) {
            return;
        }
        let hsm = &self.name;
        tracing::error!(
            %hsm,
            reason,
            "the HSM returned a wrong result; it is not used until an operator acts"
        );
        self.close(&reason);
        self.event_sender.fatal(worker, reason);
    }

    /// Sets the state of the circuit breaker. Without trust, the state is always `Untrusted`.
    pub(in crate::hsm) fn enter(&self, phase: Phase) {
        self.metrics.enter(match self.trust.is_kept() {
            true => phase,
            false => Phase::Untrusted,
        });
    }

    /// Publishes the last health check of this worker, if it is the serving one.
    pub(in crate::hsm) fn publish_health(&self, view: &WorkerView) {
        if self
            .serving()
            .is_some_and(|serving| serving.number == view.number)
        {
            let (condition, reason) = view.health();
            self.publish(condition, &reason);
        }
    }

    /// Publishes the result of a check. Without trust, the HSM is always down.
    pub(in crate::hsm) fn publish(&self, condition: Condition, reason: &str) {
        match self.trust.lost() {
            None => self.last_check.publish(condition, reason),
            Some(lost) => self.last_check.publish(Condition::Down, &lost),
        }
    }

    /// The result of the last check, see [`LastCheck::report`].
    pub(in crate::hsm) fn report(&self) -> DeviceReport {
        self.last_check.report(&self.name)
    }
}
