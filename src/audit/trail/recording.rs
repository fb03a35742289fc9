//! One entry on its way into the trail, for a caller that may give up before its line is written.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::audit::error::AuditError;
use crate::audit::record::Entry;
use crate::audit::settings::OnFailure;
use crate::audit::writing::{Outbox, Outcome, Slot, Waiting};

/// An entry that is to be recorded. Its line is written after a call of [`Recording::written`].
///
/// Dropped before its entry was queued, it counts the entry as one without a line. Dropped later, the entry is recorded as it is. Who
/// gives up calls [`Recording::amend`].
pub struct Recording {
    outbox: Arc<Outbox>,
    stage: Stage,
}

enum Stage {
    /// Not in the queue yet.
    New(Entry),
    Queued(Arc<Slot>, oneshot::Receiver<Outcome>),
    /// Ended; whether the entry is recorded.
    Ended(bool),
}

impl Recording {
    pub(super) fn new(outbox: &Arc<Outbox>, entry: Entry) -> Self {
        Self {
            outbox: Arc::clone(outbox),
            stage: Stage::New(entry),
        }
    }

    /// Queues the entry, and with [`OnFailure::Refuse`] waits until its line is written; with [`OnFailure::Continue`] it returns at once. May be
    /// dropped and called again.
    ///
    /// # Errors
    /// When the line was not written, with [`OnFailure::Refuse`] only: then what the entry is about must not go on.
    pub async fn written(&mut self) -> Result<(), AuditError> {
        match self.outbox.on_failure {
            OnFailure::Continue => {
                self.note();
                Ok(())
            }
            OnFailure::Refuse => {
                self.queue().await?;
                self.settled().await
            }
        }
    }

    /// Records this entry in the place of the first one, without waiting. Returns true when that is not possible because the first
    /// one is recorded already: then what it says must be true.
    pub fn amend(mut self, instead: Entry) -> bool {
        match std::mem::replace(&mut self.stage, Stage::Ended(true)) {
            Stage::New(_) => {
                if !self.outbox.note(instead) {
                    self.outbox.state.lose(1);
                }
                false
            }
            Stage::Queued(slot, _) => slot.amend(instead),
            Stage::Ended(is_recorded) => is_recorded,
        }
    }

    async fn queue(&mut self) -> Result<(), AuditError> {
        if !matches!(self.stage, Stage::New(_)) {
            return Ok(());
        }
        // While it waits for room, the entry stays where a drop finds it.
        let room = Arc::clone(&self.outbox.room).acquire_owned().await;
        let permit = room.map_err(|_| AuditError::Stopped)?;
        if let Stage::New(entry) = std::mem::replace(&mut self.stage, Stage::Ended(false)) {
            let (done, outcome) = oneshot::channel();
            let slot = Slot::of(entry);
            let waiting = Waiting {
                slot: Arc::clone(&slot),
                done: Some(done),
                permit,
            };
            if !self.outbox.send(waiting) {
                self.outbox.state.lose(1);
                return Err(AuditError::Stopped);
            }
            self.stage = Stage::Queued(slot, outcome);
        }
        Ok(())
    }

    async fn settled(&mut self) -> Result<(), AuditError> {
        let outcome = match &mut self.stage {
            Stage::Queued(_, outcome) => outcome.await.unwrap_or(Err(AuditError::Stopped)),
            Stage::Ended(true) => Ok(()),
            Stage::New(_) | Stage::Ended(false) => Err(AuditError::Stopped),
        };
        self.stage = Stage::Ended(outcome.is_ok());
        outcome
    }

    fn note(&mut self) {
        if let Stage::New(entry) = std::mem::replace(&mut self.stage, Stage::Ended(true)) {
            self.outbox.note_or_lose(entry);
        }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        if matches!(self.stage, Stage::New(_)) {
            self.outbox.state.lose(1);
        }
    }
}
