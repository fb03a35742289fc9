//! The schedule of seals: when to request one from the HSM, and which outcomes get a line.
//!
//! # Invariants
//! - The line of a checkpoint does not make another checkpoint due: an audit trail without requests does not grow.
//! - The end of every attempt is noticed, also after a panic. No attempt blocks the next one.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use super::queue::Message;
use crate::audit::chain::Position;
use crate::audit::checkpoint::{Attempt, MAX_LAG, SealerHandle};
use crate::audit::metrics::AuditMetrics;
use crate::audit::record::Entry;
use crate::audit::settings::CheckpointSettings;
use crate::sync::task_on;

/// The pause after the first failed attempt. It doubles with each further failure, up to the interval of checkpoints.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The schedule of seals.
pub(super) struct SealSchedule {
    sealer: Option<SealerHandle>,
    settings: CheckpointSettings,
    sender: Sender<Message>,
    /// The number of lines, without checkpoints, that neither a seal nor the pending attempt covers.
    uncovered: u64,
    /// The number of lines that the pending attempt covers. None when no attempt is pending.
    pending: Option<u64>,
    /// The start of the last attempt.
    began: Instant,
    failures: Failures,
}

/// The failed attempts since the last seal.
#[derive(Default)]
struct Failures {
    count: u32,
    not_before: Option<Instant>,
    /// The last line about a failure: its time, and the number of uncovered lines.
    reported: Option<(Instant, u64)>,
}

impl SealSchedule {
    pub fn new(
        sealer: Option<SealerHandle>,
        settings: CheckpointSettings,
        sender: Sender<Message>,
    ) -> Self {
        Self {
            sealer,
            settings,
            sender,
            uncovered: 0,
            pending: None,
            began: Instant::now(),
            failures: Failures::default(),
        }
    }

    /// Counts new lines, without checkpoints.
    pub fn add_lines(&mut self, lines: u64) {
        self.uncovered += lines;
    }

    /// Returns whether an attempt is pending.
    pub fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// Returns whether seals are configured.
    pub fn has_sealer(&self) -> bool {
        self.sealer.is_some()
    }

    /// Returns whether a seal should be requested now.
    pub fn is_due(&self) -> bool {
        !self.is_pending() && self.uncovered > 0 && self.pause().is_zero()
    }

    /// Returns the time until a seal is due, if no more lines come.
    pub fn pause(&self) -> Duration {
        if self.uncovered == 0 {
            return self.settings.interval;
        }
        match self.failures.not_before {
            Some(not_before) => not_before.saturating_duration_since(Instant::now()),
            None if self.uncovered >= self.settings.lines => Duration::ZERO,
            None => self.settings.interval.saturating_sub(self.began.elapsed()),
        }
    }

    /// Requests a seal of the chain up to this position. The outcome is sent as [`Message::Sealed`].
    pub fn request(&mut self, head: Position) {
        self.began = Instant::now();
        let covered = std::mem::take(&mut self.uncovered);
        let Some(SealerHandle { sealer, runtime }) = self.sealer.clone() else {
            return;
        };
        self.pending = Some(covered);
        let timeout = self.settings.seal_timeout;
        let reply = Reply {
            sender: self.sender.clone(),
            attempt: Some(Attempt::unanswered(head)),
        };
        task_on(&runtime, "audit-seal", async move {
            let mut reply = reply;
            reply.attempt = Some(Attempt::make(Arc::clone(&sealer), head, timeout).await);
        });
    }

    /// Ends the pending attempt with its outcome. Returns the entry about it, if it gets one. `lag` is the number of lines since the
    /// position. With `is_last`, no further attempt follows.
    pub fn complete(
        &mut self,
        mut attempt: Attempt,
        lag: u64,
        is_last: bool,
        metrics: &AuditMetrics,
    ) -> Option<Entry> {
        let covered = self.pending.take().unwrap_or_default();
        if lag >= MAX_LAG as u64 {
            attempt.outcome = Err("the HSM signature came too late".into());
        }
        metrics.count_checkpoint(attempt.outcome.is_ok());
        let Err(reason) = &attempt.outcome else {
            self.failures = Failures::default();
            return Some(attempt.entry());
        };
        self.uncovered += covered;
        let pause = self.failures.fail(self.settings.interval);
        if !is_last
            && !self
                .failures
                .is_line_due(self.settings.interval, self.uncovered)
        {
            return None;
        }
        tracing::warn!(
            reason,
            next_attempt_in = ?pause,
            "no HSM signed the checkpoint of the audit trail; retrying"
        );
        self.failures.reported = Some((Instant::now(), self.uncovered));
        Some(attempt.entry())
    }
}

impl Failures {
    /// Counts a failure. Returns the pause until the next attempt.
    fn fail(&mut self, interval: Duration) -> Duration {
        let doubled = FIRST_PAUSE.saturating_mul(1 << self.count.min(16));
        let pause = doubled.min(interval.max(FIRST_PAUSE));
        self.count += 1;
        self.not_before = Some(Instant::now() + pause);
        pause
    }

    /// Returns whether this failure gets a line: the first one does, and then one per interval if there are new uncovered lines.
    fn is_line_due(&self, interval: Duration, uncovered: u64) -> bool {
        self.reported
            .is_none_or(|(at, lines)| at.elapsed() >= interval && uncovered > lines)
    }
}

/// Sends the outcome of an attempt when it is dropped, so also when the task panics or is cancelled.
struct Reply {
    sender: Sender<Message>,
    attempt: Option<Attempt>,
}

impl Drop for Reply {
    fn drop(&mut self) {
        if let Some(attempt) = self.attempt.take() {
            // After the stop, the receiver is gone.
            drop(self.sender.send(Message::Sealed(attempt)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::checkpoint::{SealFuture, Sealer};
    use crate::metrics::Metrics;
    use std::sync::mpsc::{Receiver, channel};

    struct Panics;

    impl Sealer for Panics {
        fn seal(&self, _: Position) -> SealFuture {
            Box::pin(async { std::panic::resume_unwind(Box::new("a bug")) })
        }
    }

    fn seals(interval: Duration) -> (SealSchedule, Receiver<Message>) {
        let (sender, messages) = channel();
        let sealer = SealerHandle {
            sealer: Arc::new(Panics),
            runtime: tokio::runtime::Handle::current(),
        };
        let settings = CheckpointSettings {
            lines: 1,
            interval,
            ..CheckpointSettings::default()
        };
        (SealSchedule::new(Some(sealer), settings, sender), messages)
    }

    /// Requests a seal and completes the attempt. Returns whether it got a line.
    async fn attempt(seals: &mut SealSchedule, messages: &Receiver<Message>) -> bool {
        let metrics = AuditMetrics::declare(&Metrics::default()).unwrap();
        seals.request(Position::GENESIS);
        let message = loop {
            tokio::task::yield_now().await;
            if let Ok(message) = messages.try_recv() {
                break message;
            }
        };
        let Message::Sealed(attempt) = message else {
            panic!("another message");
        };
        seals.complete(attempt, 0, false, &metrics).is_some()
    }

    #[tokio::test]
    async fn attempts_at_a_failing_hsm_get_rarer_and_cause_few_lines() {
        let (mut seals, messages) = seals(Duration::from_secs(60));
        assert!(!seals.is_due());
        seals.add_lines(1);
        let mut pauses = Vec::new();
        for round in 0..9 {
            assert_eq!(seals.is_due(), round == 0);
            let has_line = attempt(&mut seals, &messages).await;
            assert_eq!(has_line, round == 0, "round {round}");
            pauses.push(seals.pause().as_millis().div_ceil(1000));
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(seals.uncovered, 1);
    }

    #[tokio::test]
    async fn a_failing_hsm_causes_one_line_per_interval_only_while_lines_come() {
        let (mut seals, messages) = seals(Duration::ZERO);
        seals.add_lines(3);
        assert!(attempt(&mut seals, &messages).await);
        assert!(!attempt(&mut seals, &messages).await);
        seals.add_lines(1);
        assert!(attempt(&mut seals, &messages).await);
        assert!(!attempt(&mut seals, &messages).await);
    }
}
