//! The thread that writes: all that waits in one write, then one `fdatasync`, then everybody is told.
//!
//! # Invariants
//! - An entry is acknowledged only after its line is in the file (and on the disk, as [`crate::audit::SyncPolicy`] says).
//! - The chain goes on only from what was written: a failed batch leaves neither line nor number.
//! - It never waits for a device, except at the stop.

mod inbox;
mod pace;
mod seals;

pub(in crate::audit) use inbox::{Message, Outbox, Outcome, Slot, State, Waiting};

use seals::Seals;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::file::TrailFile;
use super::start::Found;
use crate::audit::chain::Position;
use crate::audit::checkpoint::{Attempt, Sealer};
use crate::audit::error::AuditError;
use crate::audit::record::{Entry, Kind};
use crate::audit::settings::AuditSettings;
use crate::sync::poisoned;

/// So many entries are written at once: about 1 MiB, a few milliseconds.
const MAX_BATCH: usize = 1024;

/// How soon a trail that could not be written is tried again when nobody records.
const RETRY: Duration = Duration::from_secs(1);

/// The shortest wait for a message.
const MIN_WAIT: Duration = Duration::from_millis(10);

/// The writer of a trail.
pub(in crate::audit) struct Writer {
    pub file: TrailFile,
    chain: Position,
    state: Arc<State>,
    /// Lines of the trail's own that wait.
    own: Vec<Entry>,
    batch: Vec<Waiting>,
    lines: Vec<u8>,
    /// The kinds of these lines.
    kinds: Vec<Kind>,
    seals: Seals,
    seal_timeout: Duration,
    last_error: String,
    /// How long the next entries gather.
    pause: Duration,
    stopping: Option<Option<oneshot::Sender<()>>>,
}

impl Writer {
    pub fn new(
        settings: &AuditSettings,
        found: Found,
        sealer: Option<Sealer>,
        outbox: &Outbox,
    ) -> Self {
        let mut own = found.recovered;
        own.push(Entry::lifecycle(Kind::Start));
        let state = Arc::clone(&outbox.state);
        state.metrics.sealed.set(sealer.is_some().into());
        Self {
            file: found.file,
            chain: found.position,
            state,
            own,
            batch: Vec::new(),
            lines: Vec::new(),
            kinds: Vec::new(),
            seals: Seals::new(sealer, settings.checkpoint, outbox.inbox.clone()),
            seal_timeout: settings.checkpoint.seal_timeout,
            last_error: String::new(),
            pause: Duration::ZERO,
            stopping: None,
        }
    }

    /// Writes until the trail is stopped.
    pub fn run(mut self, messages: &Receiver<Message>) {
        self.write();
        while self.stopping.is_none() {
            self.turn(messages, self.patience());
        }
        self.stop(messages);
    }

    /// Waits this long for messages, and deals with them.
    pub fn turn(&mut self, messages: &Receiver<Message>, patience: Duration) {
        match messages.recv_timeout(patience) {
            Ok(message) => self.take(message),
            Err(RecvTimeoutError::Timeout) => {}
            // Cannot be: this writer holds a sender itself.
            Err(RecvTimeoutError::Disconnected) => self.stopping = Some(None),
        }
        self.gather(messages);
        self.write();
        if self.seals.is_due() && !self.is_failing() {
            self.seals.ask(self.chain);
        }
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
            Message::Reopen => self.reopen(),
            Message::Stop(done) => self.stopping = Some(done),
        }
    }

    fn take_seal(&mut self, attempt: Attempt) {
        let lag = self.chain.seq - attempt.head.seq + (self.batch.len() + self.own.len()) as u64;
        let (is_last, metrics) = (self.stopping.is_some(), &self.state.metrics);
        let line = self.seals.take(attempt, lag, is_last, metrics);
        self.own.extend(line);
    }

    fn reopen(&mut self) {
        if let Err(error) = self.file.reopen() {
            self.state.metrics.failures.inc();
            tracing::error!(%error, "cannot reopen the audit trail; its file stays in use, and the next attempt follows");
        }
    }

    fn patience(&self) -> Duration {
        if !self.own.is_empty() && !self.is_failing() {
            return Duration::ZERO;
        }
        match self.is_failing() || self.seals.is_asking() {
            true => RETRY,
            false => self.seals.pause().max(MIN_WAIT),
        }
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
        match self.file.append(&self.lines, self.chain.seq + 1, chain) {
            Ok(()) => {
                let unrecorded_before = &self.state.unrecorded;
                unrecorded_before.fetch_sub(unrecorded, Ordering::Relaxed);
                self.succeed(chain, began);
            }
            Err(error) => self.fail_batch(&error),
        }
        *self.state.writing() = None;
        let last_batch = &self.state.last_batch;
        *last_batch.lock().unwrap_or_else(poisoned) = Some((Instant::now(), began.elapsed()));
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
        self.kinds.clear();
        let (mut chain, lines, kinds) = (self.chain, &mut self.lines, &mut self.kinds);
        let mut compose = |entry: &Entry| {
            kinds.push(entry.kind);
            chain.append(entry, lines);
        };
        news.into_iter().chain(&self.own).for_each(&mut compose);
        for waiting in &self.batch {
            waiting.slot.compose(&mut compose);
        }
        chain
    }

    fn succeed(&mut self, chain: Position, began: Instant) {
        self.chain = chain;
        let metrics = &self.state.metrics;
        metrics.batch.observe(began.elapsed().as_secs_f64());
        metrics
            .sequence
            .set(i64::try_from(chain.seq).unwrap_or(i64::MAX));
        metrics.healthy.set(1);
        for kind in Kind::ALL {
            let lines = self.kinds.iter().filter(|other| **other == kind).count() as u64;
            metrics
                .lines
                .with_label_values(&[kind.as_str()])
                .inc_by(lines);
            self.seals
                .add_lines(if kind == Kind::Checkpoint { 0 } else { lines });
        }
        if self.state.failing.swap(false, Ordering::Relaxed) {
            tracing::info!(seq = chain.seq, "the audit trail is written again");
        }
        self.own.clear();
        // The lines of the batch are the last ones.
        let before = chain.seq - self.batch.len() as u64;
        self.own = self.settle(Some(before), || Ok(()));
    }

    fn fail_batch(&mut self, error: &std::io::Error) {
        self.fail(error);
        let lost = self.batch.iter().filter(|waiting| waiting.done.is_none());
        self.state.metrics.lost.inc_by(lost.count() as u64);
        self.state.lose(self.batch.len() as u64);
        let reason = error.to_string();
        self.settle(None, || Err(AuditError::Unwritten(reason.clone())));
    }

    fn fail(&mut self, error: &std::io::Error) {
        self.state.metrics.failures.inc();
        self.state.metrics.healthy.set(0);
        self.last_error = error.to_string();
        if !self.state.failing.swap(true, Ordering::Relaxed) {
            tracing::error!(%error, "the audit trail cannot be written");
        }
    }

    /// Answers everybody who waits. `before` is the number of the line before theirs, if they were written. Returns the corrections of
    /// lines whose caller has given up while they were written.
    fn settle(&mut self, before: Option<u64>, outcome: impl Fn() -> Outcome) -> Vec<Entry> {
        let mut corrections = Vec::new();
        for (number, waiting) in (1..).zip(self.batch.drain(..)) {
            let instead = waiting.slot.settle(before.is_some());
            let seq = before.map_or(0, |before| before + number);
            corrections.extend(instead.map(|entry| entry.correcting(seq)));
            self.state.metrics.depth.dec();
            if let Some(done) = waiting.done {
                // The caller may have gone; the line is there all the same.
                drop(done.send(outcome()));
            }
            drop(waiting.permit);
        }
        corrections
    }

    /// Writes all that is queued, the stop and, if the HSM seals in time, a last checkpoint.
    fn stop(mut self, messages: &Receiver<Message>) {
        self.drain(messages);
        self.own.push(Entry::lifecycle(Kind::Stop));
        self.write();
        let until = Instant::now() + self.seal_timeout + RETRY;
        self.wait_for_seal(messages, until);
        if !self.is_failing() && self.seals.has_sealer() {
            self.seals.ask(self.chain);
            self.wait_for_seal(messages, until);
        }
        self.write();
        let entries = self.state.unrecorded.load(Ordering::Relaxed);
        if entries > 0 {
            let error = &self.last_error;
            tracing::error!(
                entries,
                error,
                "the audit trail stops, and these entries have no line"
            );
        }
        let done = self.stopping.take().flatten();
        // The lock goes first: who is told may open the trail at once.
        drop(self.file);
        if let Some(done) = done {
            // Who has gone need not be told.
            done.send(()).unwrap_or_default();
        }
    }

    fn wait_for_seal(&mut self, messages: &Receiver<Message>, until: Instant) {
        while self.seals.is_asking() {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(message) = messages.recv_timeout(left) else {
                return;
            };
            self.take(message);
            self.write();
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
