//! The handle by which the rest of the proxy records.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::checkpoint::{Attempt, Sealer};
use super::error::AuditError;
use super::file::TrailFile;
use super::metrics::AuditMetrics;
use super::record::Entry;
use super::settings::{AuditSettings, OnFailure};
use super::writer::Writer;

/// A write that takes longer is a disk that hangs.
const HANGING: Duration = Duration::from_secs(2);

/// An open trail. Clones are the same trail; when the last is gone, it stops.
#[derive(Clone)]
pub struct Trail(Arc<Inner>);

struct Inner {
    inbox: Sender<Message>,
    room: Arc<Semaphore>,
    state: Arc<State>,
    on_failure: OnFailure,
}

/// What the writer and the handles share.
pub(super) struct State {
    pub failing: AtomicBool,
    /// Entries that have no line, and of which no line tells yet.
    pub unrecorded: AtomicU64,
    pub writing_since: Mutex<Option<Instant>>,
    pub metrics: AuditMetrics,
}

/// What the writer is told.
pub(super) enum Message {
    Entry(Waiting),
    Sealed(Attempt),
    Reopen,
    Stop(Option<oneshot::Sender<()>>),
}

/// An entry with who waits for it.
pub(super) struct Waiting {
    pub entry: Entry,
    /// None when nobody waits: an entry that fails is lost.
    pub done: Option<oneshot::Sender<Result<(), AuditError>>>,
    /// Its place in the queue.
    pub _permit: OwnedSemaphorePermit,
}

impl Trail {
    /// Opens the trail, or begins one, and starts its thread; writes the `start` line.
    ///
    /// # Errors
    /// When another process writes it, the file is not ours or has been changed, or the operating system refuses.
    pub fn open(
        settings: &AuditSettings,
        sealer: Option<Sealer>,
        metrics: AuditMetrics,
    ) -> Result<Self, AuditError> {
        let found = TrailFile::find(settings)?;
        let (inbox, messages) = channel();
        let state = Arc::new(State {
            failing: AtomicBool::new(false),
            unrecorded: AtomicU64::new(0),
            writing_since: Mutex::default(),
            metrics,
        });
        let writer = Writer::new(settings, found, sealer, inbox.clone(), Arc::clone(&state));
        let thread = std::thread::Builder::new().name("audit".into());
        let started = thread.spawn(move || writer.run(&messages));
        started.map_err(AuditError::unusable(&settings.path))?;
        Ok(Self(Arc::new(Inner {
            inbox,
            room: Arc::new(Semaphore::new(settings.queue.max(1))),
            state,
            on_failure: settings.on_failure,
        })))
    }

    /// Records the entry. With [`OnFailure::Refuse`] it waits until the line is written, and says so when it is not: then what the
    /// entry is about must not go on. With [`OnFailure::Continue`] it returns at once. Dropped, it may or may not have recorded.
    ///
    /// # Errors
    /// When the line was not written, with [`OnFailure::Refuse`] only.
    pub async fn record(&self, entry: Entry) -> Result<(), AuditError> {
        if self.0.on_failure == OnFailure::Continue {
            self.note(entry);
            return Ok(());
        }
        let room = Arc::clone(&self.0.room).acquire_owned().await;
        let permit = room.map_err(|_| AuditError::Stopped)?;
        let (done, outcome) = oneshot::channel();
        self.send(entry, Some(done), permit)?;
        outcome.await.unwrap_or(Err(AuditError::Stopped))
    }

    /// Records the entry without waiting: for what has happened already and cannot be refused. Losses are counted.
    pub fn note(&self, entry: Entry) {
        let sent = match Arc::clone(&self.0.room).try_acquire_owned() {
            Ok(permit) => self.send(entry, None, permit),
            Err(_) => Err(AuditError::Stopped),
        };
        if sent.is_err() {
            self.0.state.lose(1);
            self.0.state.metrics.lost.inc();
        }
    }

    fn send(
        &self,
        entry: Entry,
        done: Option<oneshot::Sender<Result<(), AuditError>>>,
        permit: OwnedSemaphorePermit,
    ) -> Result<(), AuditError> {
        self.0.state.metrics.depth.inc();
        let waiting = Waiting {
            entry,
            done,
            _permit: permit,
        };
        let sent = self.0.inbox.send(Message::Entry(waiting));
        sent.map_err(|_| {
            self.0.state.metrics.depth.dec();
            AuditError::Stopped
        })
    }

    /// Whether what is recorded now would be written: the last attempt worked and none hangs.
    pub fn is_healthy(&self) -> bool {
        let state = &self.0.state;
        let since = *state.writing();
        let hangs = since.is_some_and(|since| since.elapsed() > HANGING);
        !hangs && !state.failing.load(Ordering::Relaxed)
    }

    /// Goes on in the file that has the path's name now: for logrotate.
    pub fn reopen(&self) {
        // After the stop there is nothing to reopen.
        drop(self.0.inbox.send(Message::Reopen));
    }

    /// Writes what waits, the `stop` line and a last checkpoint, and gives the lock back.
    pub async fn stop(&self) {
        let (done, stopped) = oneshot::channel();
        drop(self.0.inbox.send(Message::Stop(Some(done))));
        // An error says that it had stopped before.
        drop(stopped.await);
        self.0.room.close();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        drop(self.inbox.send(Message::Stop(None)));
    }
}

impl State {
    pub(super) fn lose(&self, entries: u64) {
        self.unrecorded.fetch_add(entries, Ordering::Relaxed);
    }

    pub(super) fn writing(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        let since = self.writing_since.lock();
        since.unwrap_or_else(PoisonError::into_inner)
    }
}
