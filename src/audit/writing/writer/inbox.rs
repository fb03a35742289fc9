//! What the handles of a trail send to its writer.
//!
//! # Invariants
//! - An entry that gets no line is counted, whoever drops it.
//! - An entry is replaced before its line is composed, or corrected by a later line: the trail never keeps only a wrong one.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::audit::checkpoint::Attempt;
use crate::audit::error::AuditError;
use crate::audit::metrics::AuditMetrics;
use crate::audit::record::Entry;
use crate::audit::settings::OnFailure;
use crate::sync::poisoned;

/// The outcome of an entry.
pub(in crate::audit) type Outcome = Result<(), AuditError>;

/// The handles' side of the queue.
pub(in crate::audit) struct Outbox {
    pub inbox: Sender<Message>,
    /// The permits of the queue: one per entry that waits.
    pub room: Arc<Semaphore>,
    pub state: Arc<State>,
    pub on_failure: OnFailure,
}

/// What the writer and the handles share.
pub(in crate::audit) struct State {
    pub failing: AtomicBool,
    /// Entries that have no line, and of which no line tells yet.
    pub unrecorded: AtomicU64,
    pub writing_since: Mutex<Option<Instant>>,
    /// When the last batch was written, and how long that took.
    pub last_batch: Mutex<Option<(Instant, Duration)>>,
    pub metrics: AuditMetrics,
}

/// What the writer receives.
pub(in crate::audit) enum Message {
    Entry(Waiting),
    Sealed(Attempt),
    Reopen,
    Stop(Option<oneshot::Sender<()>>),
}

/// An entry in the queue.
pub(in crate::audit) struct Waiting {
    pub slot: Arc<Slot>,
    /// None when nobody waits: an entry that fails is lost.
    pub done: Option<oneshot::Sender<Outcome>>,
    /// Its permit of the queue.
    pub permit: OwnedSemaphorePermit,
}

impl Outbox {
    /// Sends an entry about something that goes on in any case. Losses are counted.
    pub fn note_or_lose(&self, entry: Entry) {
        if !self.note(entry) {
            self.state.lose(1);
            self.state.metrics.lost.inc();
        }
    }

    /// Sends an entry for which nobody waits. False when there is no room for it, or the trail has stopped.
    pub fn note(&self, entry: Entry) -> bool {
        let Ok(permit) = Arc::clone(&self.room).try_acquire_owned() else {
            return false;
        };
        self.send(Waiting {
            slot: Slot::of(entry),
            done: None,
            permit,
        })
    }

    /// Sends an entry. False when the trail has stopped.
    pub fn send(&self, waiting: Waiting) -> bool {
        self.state.metrics.depth.inc();
        let is_sent = self.inbox.send(Message::Entry(waiting)).is_ok();
        if !is_sent {
            self.state.metrics.depth.dec();
        }
        is_sent
    }
}

impl State {
    pub fn new(metrics: AuditMetrics) -> Self {
        Self {
            failing: AtomicBool::new(false),
            unrecorded: AtomicU64::new(0),
            writing_since: Mutex::default(),
            last_batch: Mutex::default(),
            metrics,
        }
    }

    /// Counts entries that have no line.
    pub fn lose(&self, entries: u64) {
        self.unrecorded.fetch_add(entries, Ordering::Relaxed);
        self.metrics.unrecorded.inc_by(entries);
    }

    pub fn writing(&self) -> MutexGuard<'_, Option<Instant>> {
        let since = self.writing_since.lock();
        since.unwrap_or_else(poisoned)
    }
}

/// An entry that both sides of the queue can reach.
pub(in crate::audit) struct Slot(Mutex<Inside>);

struct Inside {
    entry: Entry,
    stage: Stage,
}

enum Stage {
    Queued,
    /// Its line is composed, with what shall be there instead, if anything.
    Composed(Option<Entry>),
    Settled {
        is_written: bool,
    },
}

impl Slot {
    pub fn of(entry: Entry) -> Arc<Self> {
        let stage = Stage::Queued;
        Arc::new(Self(Mutex::new(Inside { entry, stage })))
    }

    /// Lets the writer compose the line. From here on the entry is not replaced.
    pub fn compose<T>(&self, compose: impl FnOnce(&Entry) -> T) -> T {
        let mut inside = self.lock();
        inside.stage = Stage::Composed(None);
        compose(&inside.entry)
    }

    /// Ends it. Returns what the line that was written should say instead.
    pub fn settle(&self, is_written: bool) -> Option<Entry> {
        let mut inside = self.lock();
        match std::mem::replace(&mut inside.stage, Stage::Settled { is_written }) {
            Stage::Composed(instead) => instead.filter(|_| is_written),
            Stage::Queued | Stage::Settled { .. } => None,
        }
    }

    /// Puts this entry in the place of the first one. True when it is too late, because that one is recorded.
    pub fn amend(&self, instead: Entry) -> bool {
        let inside = &mut *self.lock();
        match &mut inside.stage {
            Stage::Queued => inside.entry = instead,
            Stage::Composed(entry) => *entry = Some(instead),
            Stage::Settled { is_written } => return *is_written,
        }
        false
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(poisoned)
    }
}
