//! When the writer asks for a seal, and what it does with one.

use std::sync::mpsc::Receiver;
use std::time::Instant;

use super::Writer;
use crate::audit::checkpoint::{Attempt, MAX_LAG, Sealer};
use crate::audit::trail::Message;

impl Writer {
    pub(super) fn seal_if_due(&mut self) {
        let is_due = self.unsealed >= self.settings.lines
            || self.unsealed > 0 && self.sealed_at.elapsed() >= self.settings.interval;
        if is_due && !self.is_sealing && !self.is_failing() {
            self.seal();
        }
    }

    pub(super) fn seal(&mut self) {
        self.sealed_at = Instant::now();
        self.unsealed = 0;
        let Some(Sealer { seal, runtime }) = self.sealer.clone() else {
            return;
        };
        self.is_sealing = true;
        let (inbox, head, patience) = (self.inbox.clone(), self.chain, self.settings.seal_timeout);
        runtime.spawn(async move {
            let attempt = Attempt::make(seal, head, patience).await;
            // After the stop nobody waits for it.
            drop(inbox.send(Message::Sealed(attempt)));
        });
    }

    pub(super) fn take_seal(&mut self, mut attempt: Attempt) {
        self.is_sealing = false;
        let lag = self.chain.seq - attempt.head.seq + (self.batch.len() + self.own.len()) as u64;
        if lag >= MAX_LAG as u64 {
            attempt.outcome = Err("the seal came too late".into());
        }
        let outcome = match &attempt.outcome {
            Ok(_) => "sealed",
            Err(reason) => {
                tracing::warn!(reason, "a checkpoint of the audit trail is not sealed");
                // What was not sealed is due again.
                self.unsealed += 1;
                "unsealed"
            }
        };
        let checkpoints = &self.state.metrics.checkpoints;
        checkpoints.with_label_values(&[outcome]).inc();
        self.own.push(attempt.entry());
    }

    pub(super) fn wait_for_seal(&mut self, messages: &Receiver<Message>, until: Instant) {
        while self.is_sealing {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(message) = messages.recv_timeout(left) else {
                return;
            };
            self.take(message);
            self.write();
        }
    }
}
