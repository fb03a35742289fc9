//! When the HSM is asked to seal a checkpoint, and which outcomes have a line.
//!
//! # Invariants
//! - No line of a checkpoint makes another checkpoint due: a trail without requests does not grow.
//! - An attempt that ends in whatever way is noticed: the next one is never blocked by it.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use super::inbox::Message;
use crate::audit::chain::Position;
use crate::audit::checkpoint::{Attempt, MAX_LAG, Sealer};
use crate::audit::metrics::AuditMetrics;
use crate::audit::record::Entry;
use crate::audit::settings::CheckpointSettings;
use crate::sync::task_on;

/// The pause after the first attempt that failed; it doubles with each further one, up to the interval of checkpoints.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The schedule of seals.
pub(super) struct Seals {
    sealer: Option<Sealer>,
    settings: CheckpointSettings,
    inbox: Sender<Message>,
    /// Lines, other than checkpoints, that no seal covers and none was asked for.
    uncovered: u64,
    /// The lines that the attempt in progress covers.
    asked: Option<u64>,
    /// When the last attempt began.
    began: Instant,
    failures: Failures,
}

/// The attempts that have failed since the last seal.
#[derive(Default)]
struct Failures {
    count: u32,
    not_before: Option<Instant>,
    /// The last line about a failure: when, and how many lines were uncovered.
    told: Option<(Instant, u64)>,
}

impl Seals {
    pub fn new(
        sealer: Option<Sealer>,
        settings: CheckpointSettings,
        inbox: Sender<Message>,
    ) -> Self {
        Self {
            sealer,
            settings,
            inbox,
            uncovered: 0,
            asked: None,
            began: Instant::now(),
            failures: Failures::default(),
        }
    }

    /// Counts new lines, without checkpoints.
    pub fn add_lines(&mut self, lines: u64) {
        self.uncovered += lines;
    }

    /// Whether an attempt is in progress.
    pub fn is_asking(&self) -> bool {
        self.asked.is_some()
    }

    /// Whether anybody can seal.
    pub fn has_sealer(&self) -> bool {
        self.sealer.is_some()
    }

    /// Whether the HSM should be asked now.
    pub fn is_due(&self) -> bool {
        !self.is_asking() && self.uncovered > 0 && self.pause().is_zero()
    }

    /// How long nothing is due, if no more lines come.
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

    /// Asks for a seal of the chain up to this position. The answer comes as [`Message::Sealed`].
    pub fn ask(&mut self, head: Position) {
        self.began = Instant::now();
        let covered = std::mem::take(&mut self.uncovered);
        let Some(Sealer { seal, runtime }) = self.sealer.clone() else {
            return;
        };
        self.asked = Some(covered);
        let patience = self.settings.seal_timeout;
        let answer = Answer {
            inbox: self.inbox.clone(),
            attempt: Some(Attempt::unanswered(head)),
        };
        task_on(&runtime, "audit-seal", async move {
            let mut answer = answer;
            answer.attempt = Some(Attempt::make(Arc::clone(&seal), head, patience).await);
        });
    }

    /// Takes the outcome of an attempt. Returns the line about it, if it has one; `lag` is the number of lines since the position, and
    /// with `is_last` none of this kind follows.
    pub fn take(
        &mut self,
        mut attempt: Attempt,
        lag: u64,
        is_last: bool,
        metrics: &AuditMetrics,
    ) -> Option<Entry> {
        let covered = self.asked.take().unwrap_or_default();
        if lag >= MAX_LAG as u64 {
            attempt.outcome = Err("the seal came too late".into());
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
                .has_news(self.settings.interval, self.uncovered)
        {
            return None;
        }
        tracing::warn!(
            reason,
            next_attempt_in = ?pause,
            "no HSM sealed the checkpoint of the audit trail"
        );
        self.failures.told = Some((Instant::now(), self.uncovered));
        Some(attempt.entry())
    }
}

impl Failures {
    /// Counts one more. Returns the pause until the next attempt.
    fn fail(&mut self, interval: Duration) -> Duration {
        let doubled = FIRST_PAUSE.saturating_mul(1 << self.count.min(16));
        let pause = doubled.min(interval.max(FIRST_PAUSE));
        self.count += 1;
        self.not_before = Some(Instant::now() + pause);
        pause
    }

    /// The first failure has a line; after that one per interval, while lines come that no seal covers.
    fn has_news(&self, interval: Duration, uncovered: u64) -> bool {
        self.told
            .is_none_or(|(at, lines)| at.elapsed() >= interval && uncovered > lines)
    }
}

/// Sends the outcome of an attempt, also when its task panics or is dropped.
struct Answer {
    inbox: Sender<Message>,
    attempt: Option<Attempt>,
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(attempt) = self.attempt.take() {
            // After the stop nobody waits for it.
            drop(self.inbox.send(Message::Sealed(attempt)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::checkpoint::{Seal, Sealing};
    use crate::metrics::Metrics;
    use std::sync::mpsc::{Receiver, channel};

    struct Panics;

    impl Seal for Panics {
        fn seal(&self, _: Position) -> Sealing {
            Box::pin(async { std::panic::resume_unwind(Box::new("a bug")) })
        }
    }

    fn seals(interval: Duration) -> (Seals, Receiver<Message>) {
        let (inbox, messages) = channel();
        let sealer = Sealer {
            seal: Arc::new(Panics),
            runtime: tokio::runtime::Handle::current(),
        };
        let settings = CheckpointSettings {
            lines: 1,
            interval,
            ..CheckpointSettings::default()
        };
        (Seals::new(Some(sealer), settings, inbox), messages)
    }

    /// Asks, and takes the answer; whether it has a line.
    async fn attempt(seals: &mut Seals, messages: &Receiver<Message>) -> bool {
        let metrics = AuditMetrics::declare(&Metrics::default()).unwrap();
        seals.ask(Position::GENESIS);
        let message = loop {
            tokio::task::yield_now().await;
            if let Ok(message) = messages.try_recv() {
                break message;
            }
        };
        let Message::Sealed(attempt) = message else {
            panic!("another message");
        };
        seals.take(attempt, 0, false, &metrics).is_some()
    }

    #[tokio::test]
    async fn a_failing_hsm_is_asked_less_and_less_and_has_few_lines() {
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
    async fn a_failing_hsm_has_a_line_per_interval_only_while_lines_come() {
        let (mut seals, messages) = seals(Duration::ZERO);
        seals.add_lines(3);
        assert!(attempt(&mut seals, &messages).await);
        assert!(!attempt(&mut seals, &messages).await);
        seals.add_lines(1);
        assert!(attempt(&mut seals, &messages).await);
        assert!(!attempt(&mut seals, &messages).await);
    }
}
