//! The handle by which the rest of the proxy records.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::channel;
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, sleep_until};

use super::checkpoint::Sealer;
use super::error::AuditError;
use super::metrics::AuditMetrics;
use super::record::Entry;
use super::settings::AuditSettings;
use super::writing::{Message, Outbox, State, System, Writer, find, inspect};
use crate::sync::poisoned;
use crate::sync::{End, essential_thread, thread};

/// How long a write that took too long counts against the trail's health when nothing else is written: long enough to be seen, and short
/// enough that a proxy without requests becomes ready again.
const SLOW_COUNTS_FOR: Duration = Duration::from_secs(5);

/// How long a start waits for the disk. Reading a large compressed file takes some seconds.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// A write that takes longer than this does not keep the process from stopping.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// Interval between checks for a disk that hangs during the stop.
const STOP_POLL: Duration = Duration::from_millis(50);

/// An open trail. Clones are the same trail; when the last is gone, it stops.
#[derive(Clone)]
pub struct Trail(Arc<Handle>);

struct Handle(Arc<Outbox>);

impl Trail {
    /// Opens the trail, or begins one, and starts its thread; writes the `start` line. Blocks while the disk does.
    ///
    /// # Errors
    /// When another process writes it, the file is not ours or has been changed, or the operating system refuses.
    pub fn open(
        settings: &AuditSettings,
        sealer: Option<Sealer>,
        metrics: AuditMetrics,
    ) -> Result<Self, AuditError> {
        let of_thread = settings.clone();
        let found = in_time(settings, move || find(&of_thread, Arc::new(System)))?;
        let (inbox, messages) = channel();
        let outbox = Arc::new(Outbox {
            inbox,
            room: Arc::new(Semaphore::new(settings.queue.max(1))),
            state: Arc::new(State::new(metrics)),
            on_failure: settings.on_failure,
        });
        let writer = Writer::new(settings, found, sealer, &outbox);
        let started = essential_thread("audit", move || {
            // Ends when it is told to stop.
            writer.run(&messages);
            End::Requested
        });
        started.map_err(AuditError::unusable(&settings.path))?;
        Ok(Self(Arc::new(Handle(outbox))))
    }

    /// Checks whether [`Trail::open`] can use the path. Writes nothing and takes no lock: a proxy may be writing the trail.
    ///
    /// # Errors
    /// Those of [`Trail::open`], except that another process writes it.
    pub fn check(settings: &AuditSettings) -> Result<(), AuditError> {
        let path = settings.path.clone();
        in_time(settings, move || inspect(&path))
    }

    /// Records the entry. With [`super::OnFailure::Refuse`] it waits until the line is written, and says so when it is not: then what the
    /// entry is about must not go on. With [`super::OnFailure::Continue`] it returns at once. A caller that may give up uses
    /// [`Trail::recording`].
    ///
    /// # Errors
    /// When the line was not written, with [`super::OnFailure::Refuse`] only.
    pub async fn record(&self, entry: Entry) -> Result<(), AuditError> {
        self.recording(entry).written().await
    }

    /// Prepares to record the entry, for a caller that may give up before its line is written.
    pub fn recording(&self, entry: Entry) -> Recording {
        Recording::new(&self.0.0, entry)
    }

    /// Records the entry without waiting: for what has happened already and cannot be refused. Losses are counted.
    pub fn note(&self, entry: Entry) {
        self.0.0.note_or_lose(entry);
    }

    /// Whether what is recorded now would be written within `patience`: the last attempt worked, was not slower, and none hangs. The metric of
    /// the trail's health shows it.
    pub fn is_healthy(&self, patience: Duration) -> bool {
        let state = &self.0.0.state;
        let hangs = self.hangs_for(patience);
        let last = *state.last_batch.lock().unwrap_or_else(poisoned);
        let was_slow =
            last.is_some_and(|(at, took)| took > patience && at.elapsed() < SLOW_COUNTS_FOR);
        let is_healthy = !hangs && !was_slow && !state.failing.load(Ordering::Relaxed);
        state.metrics.healthy.set(i64::from(is_healthy));
        is_healthy
    }

    fn hangs_for(&self, patience: Duration) -> bool {
        let since = *self.0.0.state.writing();
        since.is_some_and(|since| since.elapsed() > patience)
    }

    /// Goes on in the file that has the path's name now: for logrotate.
    pub fn reopen(&self) {
        // After the stop there is nothing to reopen.
        drop(self.0.0.inbox.send(Message::Reopen));
    }

    /// Takes no more entries, writes those that wait, the `stop` line and a last checkpoint, and releases the lock. Gives up on a disk
    /// that hangs, and logs how many entries it left unwritten.
    pub async fn stop(&self) {
        let waiting = self.0.0.state.metrics.depth.clone();
        self.0.0.room.close();
        let (done, mut stopped) = oneshot::channel();
        drop(self.0.0.inbox.send(Message::Stop(Some(done))));
        loop {
            tokio::select! {
                // An error says that it had stopped before.
                _ = &mut stopped => return,
                () = sleep_until(Instant::now() + STOP_POLL) => {}
            }
            if self.hangs_for(STOP_PATIENCE) {
                let entries = waiting.get();
                return tracing::error!(
                    entries,
                    "the disk of the audit trail does not answer; the proxy stops without it, and these entries may have no line"
                );
            }
        }
    }
}

/// Does work on the files of the trail. A start must end even when the disk hangs.
fn in_time<T: Send + 'static>(
    settings: &AuditSettings,
    work: impl FnOnce() -> Result<T, AuditError> + Send + 'static,
) -> Result<T, AuditError> {
    let (send, done) = channel();
    let started = thread("audit-start", move || {
        // After the start has given up nobody waits for it.
        drop(send.send(work()));
    });
    started.map_err(AuditError::unusable(&settings.path))?;
    let done = done.recv_timeout(START_PATIENCE);
    done.unwrap_or_else(|_| Err(AuditError::Hangs(settings.path.clone())))
}

impl Drop for Handle {
    fn drop(&mut self) {
        drop(self.0.inbox.send(Message::Stop(None)));
    }
}
