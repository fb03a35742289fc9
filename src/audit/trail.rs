//! The handle with which other modules record entries.

mod recording;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::channel;
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, sleep_until};

use super::checkpoint::SealerHandle;
use super::error::AuditError;
use super::metrics::AuditMetrics;
use super::record::Entry;
use super::settings::AuditSettings;
use super::writing::{Message, Queue, System, Writer, WriterState, find, inspect};
use crate::sync::{End, essential_thread, poisoned, thread};

pub use recording::Recording;

/// How long a slow write makes the audit trail unhealthy if no other write follows. Scrapes must see it, and a proxy without requests must
/// become ready again soon.
const SLOW_WRITE_PERIOD: Duration = Duration::from_secs(5);

/// The time limit of a start. The start may read a large compressed file, which takes some seconds.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// The maximum time that a stop waits for one write.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// The interval between checks for a hanging write during a stop.
const STOP_POLL: Duration = Duration::from_millis(50);

/// An open audit trail. All clones write to the same audit trail, which stops when the last clone is dropped.
#[derive(Clone)]
pub struct Trail(Arc<Handle>);

struct Handle(Arc<Queue>);

impl Trail {
    /// Opens or creates the audit trail, starts its thread and writes the `start` line. Blocks while the disk does not respond, for at most
    /// 30 s.
    ///
    /// # Errors
    /// When another process writes the audit trail, the file is not an audit trail or was changed, or the operating system reports an error.
    pub fn open(
        settings: &AuditSettings,
        sealer: Option<SealerHandle>,
        metrics: AuditMetrics,
    ) -> Result<Self, AuditError> {
        let thread_settings = settings.clone();
        let found = in_time(settings, move || find(&thread_settings, Arc::new(System)))?;
        let (sender, messages) = channel();
        let queue = Arc::new(Queue {
            sender,
            permits: Arc::new(Semaphore::new(settings.queue.max(1))),
            state: Arc::new(WriterState::new(metrics)),
            on_failure: settings.on_failure,
        });
        let writer = Writer::new(settings, found, sealer, &queue);
        let started = essential_thread("audit", move || {
            // The thread ends only when the audit trail is stopped.
            writer.run(&messages);
            End::Requested
        });
        started.map_err(AuditError::unusable(&settings.path))?;
        Ok(Self(Arc::new(Handle(queue))))
    }

    /// Checks whether [`Trail::open`] can use the path. Writes nothing and takes no lock: a proxy may be writing the audit trail.
    ///
    /// # Errors
    /// Those of [`Trail::open`], except that another process writes it.
    pub fn check(settings: &AuditSettings) -> Result<(), AuditError> {
        let path = settings.path.clone();
        in_time(settings, move || inspect(&path))
    }

    /// Records the entry. With [`super::OnFailure::Refuse`] it waits until the line is written. If that fails, the caller must reject the
    /// request. With [`super::OnFailure::Continue`] it returns immediately. A caller that may stop waiting uses [`Trail::recording`].
    ///
    /// # Errors
    /// When the line was not written. Only with [`super::OnFailure::Refuse`].
    pub async fn record(&self, entry: Entry) -> Result<(), AuditError> {
        self.recording(entry).written().await
    }

    /// Prepares to record the entry, for a caller that may stop waiting before the line is written.
    pub fn recording(&self, entry: Entry) -> Recording {
        Recording::new(&self.0.0, entry)
    }

    /// Records the entry without waiting, for an event that has already happened. Lost entries are counted.
    pub fn note(&self, entry: Entry) {
        self.0.0.send_or_count_lost(entry);
    }

    /// Returns whether a new entry would be written within `limit`: the last write succeeded within the limit, and no write hangs. Also
    /// sets the health metric of the audit trail.
    pub fn is_healthy(&self, limit: Duration) -> bool {
        let state = &self.0.0.state;
        let hangs = self.is_hanging_for(limit);
        let last = *state.last_batch.lock().unwrap_or_else(poisoned);
        let was_slow =
            last.is_some_and(|(at, took)| took > limit && at.elapsed() < SLOW_WRITE_PERIOD);
        let is_healthy = !hangs && !was_slow && !state.failing.load(Ordering::Relaxed);
        state.metrics.healthy.set(i64::from(is_healthy));
        is_healthy
    }

    fn is_hanging_for(&self, limit: Duration) -> bool {
        let since = *self.0.0.state.writing();
        since.is_some_and(|since| since.elapsed() > limit)
    }

    /// Continues in the file that now has the audit trail's path. For logrotate.
    pub fn reopen(&self) {
        // After the stop, nothing needs to be reopened.
        drop(self.0.0.sender.send(Message::Reopen));
    }

    /// Accepts no more entries. Writes the queued entries, the `stop` line and a last checkpoint, and releases the lock. If the disk hangs, it
    /// stops waiting and logs the number of entries that were not written.
    pub async fn stop(&self) {
        let waiting = self.0.0.state.metrics.depth.clone();
        self.0.0.permits.close();
        let (done, mut stopped) = oneshot::channel();
        drop(self.0.0.sender.send(Message::Stop(Some(done))));
        loop {
            tokio::select! {
                // An error means that the writer had already stopped.
                _ = &mut stopped => return,
                () = sleep_until(Instant::now() + STOP_POLL) => {}
            }
            if self.is_hanging_for(STOP_TIMEOUT) {
                let entries = waiting.get();
                return tracing::error!(
                    entries,
                    "the disk of the audit trail does not respond; the proxy stops, and these entries may have no line"
                );
            }
        }
    }
}

/// Runs work on the files of the audit trail with a time limit: a start must end even if the disk hangs.
fn in_time<T: Send + 'static>(
    settings: &AuditSettings,
    work: impl FnOnce() -> Result<T, AuditError> + Send + 'static,
) -> Result<T, AuditError> {
    let (send, done) = channel();
    let started = thread("audit-start", move || {
        // The receiver is gone if the time limit has passed.
        drop(send.send(work()));
    });
    started.map_err(AuditError::unusable(&settings.path))?;
    let done = done.recv_timeout(START_TIMEOUT);
    done.unwrap_or_else(|_| Err(AuditError::Hangs(settings.path.clone())))
}

impl Drop for Handle {
    fn drop(&mut self) {
        drop(self.0.sender.send(Message::Stop(None)));
    }
}
