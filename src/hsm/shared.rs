//! What the requests, the owners, the keeper and the supervisor of one device have in common.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::events::{Board, Event, Events, Phase};
use super::job::Job;
use super::key_failures::KeyFailures;
use super::keys::KeyTable;
use super::last_check::LastCheck;
use super::load::Load;
use super::metrics::DeviceMetrics;
use super::owner::Opening;
use super::proof_memory::ProofMemory;
use super::queue::{Generation, Queue, Refused};
use super::rejections::Rejections;
use super::settings::HsmSettings;
use super::token::{OpenError, TokenIdentity};
use super::trust::Trust;
use super::watch_list::WatchList;
use crate::ekm::{Condition, DeviceReport, KeyManagerError, KeyManagerFault};
use crate::sync::poisoned;

/// The most jobs that may wait, whatever the device's speed: a bound on memory. What usually refuses a job is that it
/// could not be done in time, see [`Shared::submit`].
const MAX_QUEUE: usize = 4_096;

/// One device's common state.
pub(super) struct Shared {
    pub settings: HsmSettings,
    pub metrics: DeviceMetrics,
    pub trust: Arc<Trust>,
    pub load: Load,
    /// Whether an attempt to open the device has failed. An attempt that still runs has not failed, however slow it is.
    pub opening_failed: AtomicBool,
    /// Keys that the device rejects although it works.
    pub key_failures: KeyFailures,
    pub queue: Queue<Job>,
    pub watch_list: Arc<WatchList>,
    pub rejections: Rejections,
    pub memory: ProofMemory,
    usable: AtomicBool,
    had_keys: AtomicBool,
    pub(super) keepers: AtomicUsize,
    pub(super) board: Board,
    last_check: LastCheck,
    /// What the owners of the running generation share, for owners that come later.
    opening: Mutex<Option<Arc<Opening>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(poisoned)
}

impl Shared {
    pub(super) fn new(
        settings: HsmSettings,
        metrics: DeviceMetrics,
        trust: Arc<Trust>,
        watch_list: &Arc<WatchList>,
    ) -> Self {
        Self {
            settings,
            metrics,
            trust,
            load: Load::new(),
            opening_failed: AtomicBool::new(false),
            key_failures: KeyFailures::default(),
            watch_list: Arc::clone(watch_list),
            rejections: Rejections::default(),
            memory: ProofMemory::default(),
            queue: Queue::new(MAX_QUEUE),
            usable: AtomicBool::new(false),
            had_keys: AtomicBool::new(false),
            keepers: AtomicUsize::new(0),
            board: Board::default(),
            last_check: LastCheck::none(),
            opening: Mutex::new(None),
        }
    }

    pub(super) fn is_usable(&self) -> bool {
        self.usable.load(Ordering::Acquire) && self.trust.lost().is_none()
    }

    // ---- jobs

    /// The next job for an owner of `generation`; None when it is over.
    pub(super) fn take(&self, generation: Generation) -> Option<Job> {
        self.queue.take(generation)
    }

    /// Lets a job wait for the device to be opened again; fails it when it has been tried twice, or when nobody opens anything.
    pub(super) fn try_again(&self, job: Job, error: KeyManagerError) {
        if job.is_second_try {
            return job.work.fail(error);
        }
        let job = Job {
            is_second_try: true,
            ..job
        };
        if let Err(job) = self.queue.put_back(job) {
            job.work.fail(error);
        }
    }

    /// How long a new job would take, for the choice between devices.
    pub(super) fn suspected_wait(&self) -> Duration {
        self.load.suspected_wait(self.queue.depth())
    }

    /// An error of this device.
    pub(super) fn error(
        &self,
        fault: KeyManagerFault,
        detail: impl Into<std::borrow::Cow<'static, str>>,
    ) -> KeyManagerError {
        KeyManagerError::new(fault, &self.settings.name, detail)
    }

    pub(super) fn refusal(&self, refused: Refused) -> KeyManagerError {
        match refused {
            Refused::Full => self.error(KeyManagerFault::QueueFull, "it could not be done in time"),
            Refused::Closed => self.error(KeyManagerFault::DeviceUnavailable, self.reason()),
        }
    }

    /// Brings the gauge of waiting jobs up to date.
    pub(super) fn publish_depth(&self) {
        self.metrics
            .depth
            .set(i64::try_from(self.queue.depth()).unwrap_or(i64::MAX));
    }

    // ---- state

    /// The device is open: owners may take jobs, requests may come. Says whether it is so: an opening that hung may come too
    /// late.
    pub(super) fn open_door(&self, opening: &Arc<Opening>) -> bool {
        let events = self.board.lock();
        let is_trusted = self.trust.lost().is_none();
        if events.over >= opening.generation || events.stop || !is_trusted {
            return false;
        }
        *lock(&self.opening) = Some(Arc::clone(opening));
        self.queue.open(opening.generation);
        self.usable.store(true, Ordering::Release);
        self.enter(Phase::Usable);
        true
    }

    /// Fails when a token that had keys has none any more.
    pub(super) fn check_keys(&self, keys: &KeyTable) -> Result<(), OpenError> {
        match (keys.is_empty(), self.had_keys.load(Ordering::Relaxed)) {
            (false, _) => self.had_keys.store(true, Ordering::Relaxed),
            (true, true) => return Err(OpenError::TokenEmpty),
            (true, false) => {}
        }
        Ok(())
    }

    /// What the owners of `generation` share; none when it is over.
    pub(super) fn opening(&self, generation: Generation) -> Option<Arc<Opening>> {
        self.now_open()
            .filter(|opening| opening.generation == generation)
    }

    /// What the owners of the running generation share; none while the device is not open.
    pub(super) fn now_open(&self) -> Option<Arc<Opening>> {
        lock(&self.opening).clone()
    }

    /// Something broke: no new jobs for now, those that wait go on waiting for a moment.
    fn suspend(&self, generation: Generation, reason: &str) {
        self.usable.store(false, Ordering::Release);
        self.enter(Phase::Probing);
        self.publish(None, Condition::Down, reason);
        self.queue.suspend(generation);
    }

    /// The device does not serve: jobs that wait fail at once, as do all that come.
    pub(super) fn close_door(&self, reason: &str) {
        self.usable.store(false, Ordering::Release);
        self.enter(Phase::Failed);
        self.publish(None, Condition::Down, reason);
        for job in self.queue.close() {
            job.work.fail(self.refusal(Refused::Closed));
        }
    }

    /// Closes the queue of a device that is not trusted. Under the same lock as in `open_door`: it is not opened again.
    pub(super) fn quarantine(&self) {
        let events = self.board.lock();
        self.close_door("its output is wrong");
        drop(events);
    }

    /// Notes the state of the breaker. A device that is not trusted has no other state.
    pub(super) fn enter(&self, phase: Phase) {
        self.metrics.enter(match self.trust.lost() {
            None => phase,
            Some(_) => Phase::Untrusted,
        });
    }

    /// Closes the door on an opening that takes long, unless it has opened the door meanwhile.
    pub(super) fn close_unless_open(&self, generation: Generation, reason: &str) {
        // The same lock as in `open_door`: the two must not cross.
        let events = self.board.lock();
        if self.opening(generation).is_none() {
            self.close_door(reason);
        }
        drop(events);
    }

    /// Publishes what a check found.
    pub(super) fn publish(
        &self,
        identity: Option<TokenIdentity>,
        condition: Condition,
        reason: &str,
    ) {
        match self.trust.lost() {
            None => self.last_check.publish(identity, condition, reason),
            Some(lost) => self.last_check.publish(identity, Condition::Down, lost),
        }
    }

    /// What the last check found; a check that is too old counts as none.
    pub(super) fn report(&self) -> DeviceReport {
        self.last_check.report(&self.settings.name)
    }

    /// Why the device does not serve, as last published.
    pub(super) fn reason(&self) -> String {
        self.last_check.reason()
    }

    /// Whether the device is known not to serve; not known is not failed.
    pub(super) fn has_failed(&self) -> bool {
        self.last_check.has_failed()
    }

    // ---- events

    /// The keeper's news: the device is open, or not.
    pub(super) fn report_opening(&self, generation: Generation, outcome: Result<(), OpenError>) {
        self.board
            .post(|events| events.opening = Some((generation, outcome)));
    }

    /// A fatal fault: suspends the queue at once and wakes the supervisor. The first report of a generation counts.
    pub(super) fn report_fatal(&self, generation: Generation, reason: String) {
        self.board.post(|events| {
            let is_known = matches!(&events.failed, Some((known, _)) if *known >= generation);
            if !is_known && generation > events.over {
                self.suspend(generation, &reason);
                events.failed = Some((generation, reason));
            }
        });
    }

    /// Ends a generation: its owners and its keeper close their sessions and end.
    pub(super) fn end(&self, generation: Generation) {
        self.board.post(|events| events.over = generation);
        *lock(&self.opening) = None;
        self.queue.suspend(generation);
    }

    /// Waits until `generation` is over or there `is_work`, `patience` at most; says whether it is over. For the keeper.
    pub(super) fn wait_for_end(
        &self,
        generation: Generation,
        patience: Duration,
        is_work: impl Fn() -> bool,
    ) -> bool {
        let news = |events: &mut Events| match events.over >= generation {
            true => Some(true),
            false => is_work().then_some(false),
        };
        self.board.wait_until(patience, news).unwrap_or(false)
    }

    /// Asks the supervisor to end.
    pub(super) fn request_stop(&self) {
        self.board.post(|events| events.stop = true);
    }

    /// Waits until something happens to `generation` or `patience` is over. For the supervisor.
    pub(super) fn wait(&self, generation: Generation, patience: Duration) -> Event {
        let news = self
            .board
            .wait_until(patience, |events| events.of(generation));
        news.unwrap_or(Event::Elapsed)
    }
}
