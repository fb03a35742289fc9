//! What the requests, the owners and the supervisor of one device have in common.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::metrics::DeviceMetrics;
use super::queue::{Generation, Queue, Refused};
use super::settings::HsmSettings;
use super::token::TokenIdentity;
use crate::clock::Deadline;
use crate::ekm::{
    Condition, DecryptJob, DeviceReport, EncryptJob, KeyAttributes, KeyManagerError,
    KeyManagerFault, KeySelector, Sealed, Served,
};
use crate::secret::SecretBytes;

/// The most jobs that may wait, whatever the device's speed: a bound on memory. What usually refuses a job is that it
/// could not be done in time, see [`Shared::submit`].
const MAX_QUEUE: usize = 4_096;

/// One hung call must not weigh on the mean for long.
const LONGEST_SAMPLE: Duration = Duration::from_secs(1);

/// The weight of the newest job in the mean service time: 1 / 16.
const NEWEST_WEIGHT: u64 = 16;

/// No health answer is older than this (XKS API, GetHealthStatus).
const MAX_REPORT_AGE: Duration = Duration::from_secs(60);

/// Where a job's answer goes.
pub(super) type Reply<T> = oneshot::Sender<Result<Served<T>, KeyManagerError>>;

/// What a job asks for.
pub(super) enum Work {
    Encrypt(EncryptJob, Reply<Sealed>),
    Decrypt(DecryptJob, Reply<SecretBytes>),
    Describe(Arc<KeySelector>, Deadline, Reply<KeyAttributes>),
}

/// A job in the queue.
pub(super) struct Job {
    pub work: Work,
    pub queued_at: Instant,
}

impl Work {
    /// Nobody waits any more: the caller is gone or the deadline has passed.
    pub(super) fn is_abandoned(&self) -> bool {
        let caller_is_gone = match self {
            Self::Encrypt(_, reply) => reply.is_closed(),
            Self::Decrypt(_, reply) => reply.is_closed(),
            Self::Describe(_, _, reply) => reply.is_closed(),
        };
        caller_is_gone || self.deadline().has_passed()
    }

    fn deadline(&self) -> Deadline {
        match self {
            Self::Encrypt(job, _) => job.deadline,
            Self::Decrypt(job, _) => job.deadline,
            Self::Describe(_, deadline, _) => *deadline,
        }
    }

    /// Answers with an error. A caller that is gone does not mind.
    pub(super) fn fail(self, error: KeyManagerError) {
        match self {
            Self::Encrypt(_, reply) => drop(reply.send(Err(error))),
            Self::Decrypt(_, reply) => drop(reply.send(Err(error))),
            Self::Describe(_, _, reply) => drop(reply.send(Err(error))),
        }
    }
}

/// What the supervisor waits for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The process ends.
    Stop,
    /// The running generation has met a fatal fault.
    Failed(String),
    /// Nothing: time passed.
    Elapsed,
}

#[derive(Default)]
struct Events {
    stop: bool,
    failed: Option<(Generation, String)>,
}

struct LastCheck {
    at: Option<Instant>,
    condition: Condition,
    identity: TokenIdentity,
    /// Why the device does not serve, for the errors of jobs that are refused.
    reason: Arc<str>,
}

/// One device's common state.
pub(super) struct Shared {
    pub settings: HsmSettings,
    pub metrics: DeviceMetrics,
    queue: Queue<Job>,
    usable: AtomicBool,
    owners: AtomicUsize,
    /// The mean time that the device works on a job, in nanoseconds; 0 before the first.
    service_time: AtomicU64,
    events: Mutex<Events>,
    changed: Condvar,
    last_check: Mutex<LastCheck>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn new(settings: HsmSettings, metrics: DeviceMetrics) -> Self {
        Self {
            queue: Queue::new(MAX_QUEUE),
            settings,
            metrics,
            usable: AtomicBool::new(false),
            owners: AtomicUsize::new(0),
            service_time: AtomicU64::new(0),
            events: Mutex::default(),
            changed: Condvar::new(),
            last_check: Mutex::new(LastCheck {
                at: None,
                condition: Condition::Down,
                identity: TokenIdentity::default(),
                reason: "it has not been opened yet".into(),
            }),
        }
    }

    pub(super) fn is_usable(&self) -> bool {
        self.usable.load(Ordering::Acquire)
    }

    // ---- jobs

    /// Queues a job, or answers it at once with why not. A job that has to wait for longer than its deadline, as far as the
    /// device's mean service time can tell, is refused at once: a late answer helps nobody, and the job would only make others late.
    pub(super) fn submit(&self, work: Work) {
        let remaining = work.deadline().remaining();
        if remaining.is_zero() {
            let (fault, name) = (KeyManagerFault::DeadlinePassed, &self.settings.name);
            return work.fail(KeyManagerError::new(fault, name, "it was too late to ask"));
        }
        let job = Job {
            work,
            queued_at: Instant::now(),
        };
        // A job that nobody is ahead of always goes: a mean that has become too long must be able to recover.
        let in_time = |ahead: usize| ahead == 0 || self.expected_wait(ahead) < remaining;
        if let Err((refused, job)) = self.queue.push(job, in_time) {
            job.work.fail(self.refusal(refused));
        }
    }

    /// How long the job behind `ahead` others will take to be done.
    fn expected_wait(&self, ahead: usize) -> Duration {
        let owners = self.owners.load(Ordering::Relaxed).max(1);
        let rounds = (ahead / owners + 1) as u64;
        let service_time = self.service_time.load(Ordering::Relaxed);
        Duration::from_nanos(service_time.saturating_mul(rounds))
    }

    /// Takes a job's service time into the mean. Two owners at once may lose one of their samples: it is a mean.
    pub(super) fn learn_service_time(&self, worked: Duration) {
        let sample = worked.min(LONGEST_SAMPLE).as_nanos() as u64;
        let mean = self.service_time.load(Ordering::Relaxed);
        let mean = match mean {
            0 => sample,
            mean => mean - mean / NEWEST_WEIGHT + sample / NEWEST_WEIGHT,
        };
        self.service_time.store(mean, Ordering::Relaxed);
    }

    /// The next job for an owner of `generation`; None when it is over.
    pub(super) fn take(&self, generation: Generation) -> Option<Job> {
        self.queue.take(generation)
    }

    fn refusal(&self, refused: Refused) -> KeyManagerError {
        let name = &self.settings.name;
        match refused {
            Refused::Full => KeyManagerError::new(KeyManagerFault::QueueFull, name, "refused"),
            Refused::Closed => {
                let reason = lock(&self.last_check).reason.to_string();
                KeyManagerError::new(KeyManagerFault::DeviceUnavailable, name, reason)
            }
        }
    }

    /// Brings the gauge of waiting jobs up to date.
    pub(super) fn publish_depth(&self) {
        self.metrics
            .depth
            .set(i64::try_from(self.queue.depth()).unwrap_or(i64::MAX));
    }

    // ---- state

    /// Opens the queue, so that owners may wait at it.
    pub(super) fn prepare(&self, generation: Generation) {
        self.queue.open(generation);
    }

    /// Says that the device serves.
    pub(super) fn set_usable(&self) {
        self.usable.store(true, Ordering::Release);
        self.metrics.usable.set(1);
    }

    /// Lets no more jobs in and fails those that wait.
    pub(super) fn set_unusable(&self, generation: Generation, reason: &str) {
        self.usable.store(false, Ordering::Release);
        self.metrics.usable.set(0);
        self.publish(None, Condition::Down, reason);
        for job in self.queue.close(generation) {
            job.work.fail(self.refusal(Refused::Closed));
        }
    }

    /// Publishes what a check found.
    pub(super) fn publish(
        &self,
        identity: Option<TokenIdentity>,
        condition: Condition,
        reason: &str,
    ) {
        let mut last = lock(&self.last_check);
        last.at = Some(Instant::now());
        last.condition = condition;
        last.reason = reason.into();
        if let Some(identity) = identity {
            last.identity = identity;
        }
    }

    /// What the last check found; a check that is too old counts as none.
    pub(super) fn report(&self) -> DeviceReport {
        let last = lock(&self.last_check);
        let fresh = last.at.is_some_and(|at| at.elapsed() <= MAX_REPORT_AGE);
        DeviceReport {
            name: Arc::clone(&self.settings.name),
            vendor: last.identity.vendor.clone(),
            model: last.identity.model.clone(),
            condition: match fresh {
                true => last.condition,
                false => Condition::Down,
            },
        }
    }

    /// Whether the device is known not to serve; not known is not failed.
    pub(super) fn has_failed(&self) -> bool {
        let last = lock(&self.last_check);
        last.at.is_some() && last.condition == Condition::Down
    }

    // ---- events

    /// An owner has met a fatal fault: closes the door at once and wakes the supervisor. The first report of a
    /// generation counts.
    pub(super) fn report_fatal(&self, generation: Generation, reason: String) {
        let mut events = lock(&self.events);
        if matches!(&events.failed, Some((known, _)) if *known >= generation) {
            return;
        }
        self.set_unusable(generation, &reason);
        events.failed = Some((generation, reason));
        drop(events);
        self.changed.notify_all();
    }

    /// Asks the supervisor to end.
    pub(super) fn request_stop(&self) {
        lock(&self.events).stop = true;
        self.changed.notify_all();
    }

    /// Waits until something happens or `patience` is over.
    pub(super) fn wait(&self, generation: Generation, patience: Duration) -> Event {
        let until = Instant::now() + patience;
        let mut events = lock(&self.events);
        loop {
            if events.stop {
                return Event::Stop;
            }
            if let Some((failed, reason)) = &events.failed
                && *failed == generation
            {
                return Event::Failed(reason.clone());
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Event::Elapsed;
            }
            let waited = self.changed.wait_timeout(events, left);
            events = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    // ---- owners

    pub(super) fn owner_started(&self) {
        self.owners.fetch_add(1, Ordering::AcqRel);
        self.metrics.sessions.inc();
    }

    pub(super) fn owner_ended(&self) {
        self.owners.fetch_sub(1, Ordering::AcqRel);
        self.metrics.sessions.dec();
        // The supervisor may be waiting for the last one; the lock orders this with its wait.
        drop(lock(&self.events));
        self.changed.notify_all();
    }

    /// Waits until every owner has closed its session, `patience` at most; gives how many are left.
    pub(super) fn wait_for_owners(&self, patience: Duration) -> usize {
        let until = Instant::now() + patience;
        let mut events = lock(&self.events);
        loop {
            let alive = self.owners.load(Ordering::Acquire);
            let left = until.saturating_duration_since(Instant::now());
            if alive == 0 || left.is_zero() {
                return alive;
            }
            let waited = self.changed.wait_timeout(events, left);
            events = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
