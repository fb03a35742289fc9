//! The recording of one entry, for a caller that may stop waiting before the line is written.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::audit::error::AuditError;
use crate::audit::record::Entry;
use crate::audit::settings::OnFailure;
use crate::audit::writing::{Queue, QueuedEntry, RecordResult, SharedEntry};

/// An entry that will be recorded. Its line is written after a call of [`Recording::written`].
///
/// If it is dropped before the entry was queued, the entry is counted as one without a line. If it is dropped later, the entry is recorded
/// unchanged. A caller that stops waiting calls [`Recording::amend`].
pub struct Recording {
    queue: Arc<Queue>,
    stage: Stage,
}

enum Stage {
    /// Not in the queue yet.
    New(Entry),
    Queued(Arc<SharedEntry>, oneshot::Receiver<RecordResult>),
    /// The attempt has ended; true if the entry was recorded.
    Ended(bool),
}

impl Recording {
    pub(in crate::audit) fn new(queue: &Arc<Queue>, entry: Entry) -> Self {
        Self {
            queue: Arc::clone(queue),
            stage: Stage::New(entry),
        }
    }

    /// Queues the entry. With [`OnFailure::Refuse`] it waits until the line is written; with [`OnFailure::Continue`] it returns
    /// immediately. The future can be dropped and requested again.
    ///
    /// # Errors
    /// When the line was not written. Only with [`OnFailure::Refuse`]: the caller must then reject the request.
    pub async fn written(&mut self) -> Result<(), AuditError> {
        match self.queue.on_failure {
            OnFailure::Continue => {
                self.send();
                Ok(())
            }
            OnFailure::Refuse => {
                self.enqueue().await?;
                self.outcome().await
            }
        }
    }

    /// Records `instead` in place of the first entry, without waiting. Returns true if the first entry is already recorded: the caller must then
    /// act as that entry states.
    pub fn amend(mut self, instead: Entry) -> bool {
        match std::mem::replace(&mut self.stage, Stage::Ended(true)) {
            Stage::New(_) => {
                if !self.queue.try_send(instead) {
                    self.queue.state.count_unrecorded(1);
                }
                false
            }
            Stage::Queued(entry, _) => entry.amend(instead),
            Stage::Ended(is_recorded) => is_recorded,
        }
    }

    async fn enqueue(&mut self) -> Result<(), AuditError> {
        if !matches!(self.stage, Stage::New(_)) {
            return Ok(());
        }
        // The stage stays `New` during the wait, so that a drop counts the entry.
        let permit = Arc::clone(&self.queue.permits).acquire_owned().await;
        let permit = permit.map_err(|_| AuditError::Stopped)?;
        if let Stage::New(entry) = std::mem::replace(&mut self.stage, Stage::Ended(false)) {
            let (reply, outcome) = oneshot::channel();
            let entry = SharedEntry::new(entry);
            let queued = QueuedEntry {
                entry: Arc::clone(&entry),
                reply: Some(reply),
                permit,
            };
            if !self.queue.send(queued) {
                self.queue.state.count_unrecorded(1);
                return Err(AuditError::Stopped);
            }
            self.stage = Stage::Queued(entry, outcome);
        }
        Ok(())
    }

    async fn outcome(&mut self) -> Result<(), AuditError> {
        let outcome = match &mut self.stage {
            Stage::Queued(_, outcome) => outcome.await.unwrap_or(Err(AuditError::Stopped)),
            Stage::Ended(true) => Ok(()),
            Stage::New(_) | Stage::Ended(false) => Err(AuditError::Stopped),
        };
        self.stage = Stage::Ended(outcome.is_ok());
        outcome
    }

    fn send(&mut self) {
        if let Stage::New(entry) = std::mem::replace(&mut self.stage, Stage::Ended(true)) {
            self.queue.send_or_count_lost(entry);
        }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        if matches!(self.stage, Stage::New(_)) {
            self.queue.state.count_unrecorded(1);
        }
    }
}
