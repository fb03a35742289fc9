//! The queue from the handles of an audit trail to its writer.
//!
//! # Invariants
//! - Every entry that gets no line is counted.
//! - An entry is replaced before its line is composed, or corrected by a later line. A wrong line never stays without a correction.

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

/// The outcome of recording an entry.
pub(in crate::audit) type RecordResult = Result<(), AuditError>;

/// The sending side of the queue.
pub(in crate::audit) struct Queue {
    pub sender: Sender<Message>,
    /// The permits of the queue: one per queued entry.
    pub permits: Arc<Semaphore>,
    pub state: Arc<WriterState>,
    pub on_failure: OnFailure,
}

/// WriterState that the writer and the handles share.
pub(in crate::audit) struct WriterState {
    pub failing: AtomicBool,
    /// The number of entries without a line that no `recovered` line contains yet.
    pub unrecorded: AtomicU64,
    pub writing_since: Mutex<Option<Instant>>,
    /// When the last batch was written, and how long the write took.
    pub last_batch: Mutex<Option<(Instant, Duration)>>,
    pub metrics: AuditMetrics,
}

/// A message to the writer.
pub(in crate::audit) enum Message {
    Entry(QueuedEntry),
    Sealed(Attempt),
    Reopen,
    Stop(Option<oneshot::Sender<()>>),
}

/// An entry in the queue.
pub(in crate::audit) struct QueuedEntry {
    pub entry: Arc<SharedEntry>,
    /// None when no caller waits: if the write fails, the entry is lost.
    pub reply: Option<oneshot::Sender<RecordResult>>,
    /// The permit of the queue.
    pub permit: OwnedSemaphorePermit,
}

impl Queue {
    /// Sends an entry about an event that cannot be prevented. Counts the entry as lost if that fails.
    pub fn send_or_count_lost(&self, entry: Entry) {
        if !self.try_send(entry) {
            self.state.count_unrecorded(1);
            self.state.metrics.lost.inc();
        }
    }

    /// Sends an entry for which no caller waits. Returns false when the queue is full or the audit trail has stopped.
    pub fn try_send(&self, entry: Entry) -> bool {
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            return false;
        };
        self.send(QueuedEntry {
            entry: SharedEntry::new(entry),
            reply: None,
            permit,
        })
    }

    /// Sends an entry. Returns false when the audit trail has stopped.
    pub fn send(&self, queued: QueuedEntry) -> bool {
        self.state.metrics.depth.inc();
        let is_sent = self.sender.send(Message::Entry(queued)).is_ok();
        if !is_sent {
            self.state.metrics.depth.dec();
        }
        is_sent
    }
}

impl WriterState {
    pub fn new(metrics: AuditMetrics) -> Self {
        Self {
            failing: AtomicBool::new(false),
            unrecorded: AtomicU64::new(0),
            writing_since: Mutex::default(),
            last_batch: Mutex::default(),
            metrics,
        }
    }

    /// Counts entries without a line.
    pub fn count_unrecorded(&self, entries: u64) {
        self.unrecorded.fetch_add(entries, Ordering::Relaxed);
        self.metrics.unrecorded.inc_by(entries);
    }

    pub fn writing(&self) -> MutexGuard<'_, Option<Instant>> {
        let since = self.writing_since.lock();
        since.unwrap_or_else(poisoned)
    }
}

/// An entry that both sides of the queue can change.
pub(in crate::audit) struct SharedEntry(Mutex<EntryState>);

struct EntryState {
    entry: Entry,
    stage: Stage,
}

enum Stage {
    Queued,
    /// The line is composed. Contains the entry that should replace it, if any.
    Composed(Option<Entry>),
    Settled {
        is_written: bool,
    },
}

impl SharedEntry {
    pub fn new(entry: Entry) -> Arc<Self> {
        let stage = Stage::Queued;
        Arc::new(Self(Mutex::new(EntryState { entry, stage })))
    }

    /// Composes the line with `compose`. Afterwards the entry can no longer be replaced.
    pub fn compose<T>(&self, compose: impl FnOnce(&Entry) -> T) -> T {
        let mut state = self.lock();
        state.stage = Stage::Composed(None);
        compose(&state.entry)
    }

    /// Ends the recording. Returns the entry that corrects the written line, if there is one.
    pub fn settle(&self, is_written: bool) -> Option<Entry> {
        let mut state = self.lock();
        match std::mem::replace(&mut state.stage, Stage::Settled { is_written }) {
            Stage::Composed(instead) => instead.filter(|_| is_written),
            Stage::Queued | Stage::Settled { .. } => None,
        }
    }

    /// Replaces the entry. Returns true when that is too late because the first entry is already recorded.
    pub fn amend(&self, instead: Entry) -> bool {
        let state = &mut *self.lock();
        match &mut state.stage {
            Stage::Queued => state.entry = instead,
            Stage::Composed(entry) => *entry = Some(instead),
            Stage::Settled { is_written } => return *is_written,
        }
        false
    }

    fn lock(&self) -> MutexGuard<'_, EntryState> {
        self.0.lock().unwrap_or_else(poisoned)
    }
}
