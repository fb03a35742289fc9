//! The thread that writes: all that waits in one write, then one `fdatasync`, then everybody is told.
//!
//! # Invariants
//! - An entry is acknowledged only after its line is in the file (and on the disk, as [`super::SyncPolicy`] says).
//! - The chain goes on only from what was written: a failed batch leaves neither line nor number.
//! - It never waits for a device, except at the stop.

mod seals;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::chain::Position;
use super::checkpoint::Sealer;
use super::error::AuditError;
use super::file::{Found, TrailFile};
use super::pace;
use super::record::{Entry, Kind};
use super::settings::{AuditSettings, CheckpointSettings};
use super::trail::{Message, State, Waiting};

/// So many entries are written at once: about 1 MiB, a few milliseconds.
const MAX_BATCH: usize = 1024;

/// How soon a trail that could not be written is tried again when nobody records.
const RETRY: Duration = Duration::from_secs(1);

pub(super) struct Writer {
    file: TrailFile,
    chain: Position,
    state: Arc<State>,
    /// Lines of the trail's own that wait.
    own: Vec<Entry>,
    batch: Vec<Waiting>,
    lines: Vec<u8>,
    sealer: Option<Sealer>,
    settings: CheckpointSettings,
    inbox: Sender<Message>,
    is_sealing: bool,
    /// Lines, other than checkpoints, that no seal speaks for.
    unsealed: u64,
    sealed_at: Instant,
    last_error: String,
    /// How long the next entries gather.
    pause: Duration,
    stopping: Option<Option<oneshot::Sender<()>>>,
}

impl Writer {
    pub(super) fn new(
        settings: &AuditSettings,
        found: Found,
        sealer: Option<Sealer>,
        inbox: Sender<Message>,
        state: Arc<State>,
    ) -> Self {
        let mut own: Vec<Entry> = found.recovered.into_iter().collect();
        own.push(Entry::lifecycle(Kind::Start));
        Self {
            file: found.file,
            chain: found.position,
            state,
            own,
            batch: Vec::new(),
            lines: Vec::new(),
            sealer,
            settings: settings.checkpoint,
            inbox,
            is_sealing: false,
            unsealed: 0,
            sealed_at: Instant::now(),
            last_error: String::new(),
            pause: Duration::ZERO,
            stopping: None,
        }
    }

    pub(super) fn run(mut self, messages: &Receiver<Message>) {
        self.write();
        while self.stopping.is_none() {
            match messages.recv_timeout(self.patience()) {
                Ok(message) => self.take(message),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.gather(messages);
            self.write();
            self.seal_if_due();
        }
        self.stop(messages);
    }

    /// Takes what else has come, and what comes soon if more than one wait or waited: one `fdatasync` is then for many.
    fn gather(&mut self, messages: &Receiver<Message>) {
        self.take_all(messages);
        if self.batch.len() < MAX_BATCH && self.stopping.is_none() && !self.pause.is_zero() {
            std::thread::sleep(self.pause);
            self.take_all(messages);
        }
    }

    fn take_all(&mut self, messages: &Receiver<Message>) {
        while self.batch.len() < MAX_BATCH {
            let Ok(message) = messages.try_recv() else {
                return;
            };
            self.take(message);
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Entry(waiting) => self.batch.push(waiting),
            Message::Sealed(attempt) => self.take_seal(attempt),
            Message::Reopen => {
                if let Err(error) = self.file.reopen() {
                    self.fail(&error);
                }
            }
            Message::Stop(done) => self.stopping = Some(done),
        }
    }

    fn patience(&self) -> Duration {
        if self.is_failing() {
            return RETRY;
        }
        match self.unsealed {
            0 => self.settings.interval,
            _ => self
                .settings
                .interval
                .saturating_sub(self.sealed_at.elapsed()),
        }
        .max(Duration::from_millis(10))
    }

    fn is_failing(&self) -> bool {
        self.state.failing.load(Ordering::Relaxed)
    }

    /// Writes all that waits. While the trail fails, it says first what has no line.
    fn write(&mut self) {
        let unrecorded = self.state.unrecorded.load(Ordering::Relaxed);
        let has_news = unrecorded > 0 || self.is_failing();
        if self.batch.is_empty() && self.own.is_empty() && !has_news {
            return;
        }
        let began = Instant::now();
        *self.state.writing() = Some(began);
        let news = has_news.then(|| self.recovered(unrecorded));
        let chain = self.compose(news.as_ref());
        let waiting = self.batch.len();
        match self.file.append(&self.lines, self.chain.seq + 1) {
            Ok(()) => {
                self.state
                    .unrecorded
                    .fetch_sub(unrecorded, Ordering::Relaxed);
                self.succeed(chain, news.as_ref(), began);
            }
            Err(error) => self.fail_batch(&error),
        }
        *self.state.writing() = None;
        self.pause = pace::pause(waiting, began.elapsed());
    }

    fn recovered(&self, unrecorded: u64) -> Entry {
        let members = serde_json::json!({
            "cause": "unrecorded", "unrecorded": unrecorded, "error": self.last_error,
        });
        Entry::new(Kind::Recovered, &members)
    }

    fn compose(&mut self, news: Option<&Entry>) -> Position {
        self.lines.clear();
        let mut chain = self.chain;
        let waiting = self.batch.iter().map(|waiting| &waiting.entry);
        for entry in news.into_iter().chain(&self.own).chain(waiting) {
            chain.append(entry, &mut self.lines);
        }
        chain
    }

    fn succeed(&mut self, chain: Position, news: Option<&Entry>, began: Instant) {
        self.chain = chain;
        let metrics = &self.state.metrics;
        metrics.batch.observe(began.elapsed().as_secs_f64());
        metrics
            .sequence
            .set(i64::try_from(chain.seq).unwrap_or(i64::MAX));
        metrics.healthy.set(1);
        let waiting = self.batch.iter().map(|waiting| &waiting.entry);
        let entries = news.into_iter().chain(&self.own).chain(waiting);
        let kinds: Vec<Kind> = entries.map(|entry| entry.kind).collect();
        for kind in Kind::ALL {
            let lines = kinds.iter().filter(|other| **other == kind).count() as u64;
            metrics
                .lines
                .with_label_values(&[kind.as_str()])
                .inc_by(lines);
            self.unsealed += if kind == Kind::Checkpoint { 0 } else { lines };
        }
        if self.state.failing.swap(false, Ordering::Relaxed) {
            tracing::info!(seq = chain.seq, "the audit trail is written again");
        }
        self.own.clear();
        self.settle(|| Ok(()));
    }

    fn fail_batch(&mut self, error: &std::io::Error) {
        self.fail(error);
        let lost = self.batch.iter().filter(|waiting| waiting.done.is_none());
        self.state.metrics.lost.inc_by(lost.count() as u64);
        self.state.lose(self.batch.len() as u64);
        let reason = error.to_string();
        self.settle(|| Err(AuditError::Unwritten(reason.clone())));
    }

    fn fail(&mut self, error: &std::io::Error) {
        self.state.metrics.failures.inc();
        self.state.metrics.healthy.set(0);
        self.last_error = error.to_string();
        if !self.state.failing.swap(true, Ordering::Relaxed) {
            tracing::error!(%error, "the audit trail cannot be written");
        }
    }

    /// Tells everybody who waits.
    fn settle(&mut self, outcome: impl Fn() -> Result<(), AuditError>) {
        for waiting in self.batch.drain(..) {
            self.state.metrics.depth.dec();
            if let Some(done) = waiting.done {
                // The caller may have gone; the line is there all the same.
                drop(done.send(outcome()));
            }
        }
    }

    /// Writes all that is queued, the stop and, if the HSM seals in time, a last checkpoint.
    fn stop(mut self, messages: &Receiver<Message>) {
        self.drain(messages);
        self.own.push(Entry::lifecycle(Kind::Stop));
        self.write();
        let until = Instant::now() + self.settings.seal_timeout + RETRY;
        self.wait_for_seal(messages, until);
        if !self.is_failing() && self.sealer.is_some() {
            self.seal();
            self.wait_for_seal(messages, until);
        }
        let done = self.stopping.take().flatten();
        // The lock goes first: who is told may open the trail at once.
        drop(self.file);
        if let Some(done) = done {
            // Who has gone need not be told.
            done.send(()).unwrap_or_default();
        }
    }

    fn drain(&mut self, messages: &Receiver<Message>) {
        while let Ok(message) = messages.try_recv() {
            self.take(message);
            if self.batch.len() >= MAX_BATCH {
                self.write();
            }
        }
    }
}
