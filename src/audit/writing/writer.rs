//! The writer's thread. It writes all queued entries with one write and one `fdatasync`, then sends the outcome to all callers.
//!
//! # Invariants
//! - An entry is acknowledged only after its line is in the file (and on the disk, as [`crate::audit::SyncPolicy`] says).
//! - The chain continues only from lines that were written. A failed batch uses no number and leaves no line.
//! - The thread does not wait for an HSM, except during a stop.

mod batching;
mod queue;
mod seal_schedule;

pub(in crate::audit) use queue::{
    Message, Queue, QueuedEntry, RecordResult, SharedEntry, WriterState,
};

use seal_schedule::SealSchedule;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::file::TrailFile;
use super::start::FoundTrail;
use crate::audit::chain::Position;
use crate::audit::checkpoint::{Attempt, SealerHandle};
use crate::audit::error::AuditError;
use crate::audit::record::{Entry, Kind};
use crate::audit::settings::AuditSettings;
use crate::sync::poisoned;

/// The maximum number of entries in a batch: about 1 MiB, which takes a few milliseconds.
const MAX_BATCH: usize = 1024;

/// The pause before the next attempt after a failed write, if no entry comes before.
const RETRY: Duration = Duration::from_secs(1);

/// The minimum wait for a message.
const MIN_WAIT: Duration = Duration::from_millis(10);

/// The writer of an audit trail.
pub(in crate::audit) struct Writer {
    pub file: TrailFile,
    chain: Position,
    state: Arc<WriterState>,
    /// Entries that the writer adds itself, such as checkpoints.
    own: Vec<Entry>,
    batch: Vec<QueuedEntry>,
    lines: Vec<u8>,
    /// The kinds of these lines.
    kinds: Vec<Kind>,
    seals: SealSchedule,
    seal_timeout: Duration,
    last_error: String,
    /// How long to collect entries before the next write.
    pause: Duration,
    stopping: Option<Option<oneshot::Sender<()>>>,
}

impl Writer {
    pub fn new(
        settings: &AuditSettings,
        found: FoundTrail,
        sealer: Option<SealerHandle>,
        queue: &Queue,
    ) -> Self {
        let mut own = found.recovered;
        own.push(Entry::lifecycle(Kind::Start));
        let state = Arc::clone(&queue.state);
        state.metrics.sealed.set(sealer.is_some().into());
        Self {
            file: found.file,
            chain: found.position,
            state,
            own,
            batch: Vec::new(),
            lines: Vec::new(),
            kinds: Vec::new(),
            seals: SealSchedule::new(sealer, settings.checkpoint, queue.sender.clone()),
            seal_timeout: settings.checkpoint.seal_timeout,
            last_error: String::new(),
            pause: Duration::ZERO,
            stopping: None,
        }
    }

    /// Writes until the audit trail is stopped.
    pub fn run(mut self, messages: &Receiver<Message>) {
        self.write();
        while self.stopping.is_none() {
            self.run_once(messages, self.max_wait());
        }
        self.stop(messages);
    }

    /// Waits for a message for at most `max_wait`, handles all messages in the channel, and writes.
    pub fn run_once(&mut self, messages: &Receiver<Message>, max_wait: Duration) {
        match messages.recv_timeout(max_wait) {
            Ok(message) => self.handle(message),
            Err(RecvTimeoutError::Timeout) => {}
            // Not possible: this writer has a sender itself.
            Err(RecvTimeoutError::Disconnected) => self.stopping = Some(None),
        }
        self.collect(messages);
        self.write();
        if self.seals.is_due() && !self.is_failing() {
            self.seals.request(self.chain);
        }
    }

    /// Handles the messages in the channel. If entries come in batches, it also waits for more, so that one `fdatasync` covers many entries.
    fn collect(&mut self, messages: &Receiver<Message>) {
        self.handle_all(messages);
        if self.batch.len() < MAX_BATCH && self.stopping.is_none() && !self.pause.is_zero() {
            std::thread::sleep(self.pause);
            self.handle_all(messages);
        }
    }

    fn handle_all(&mut self, messages: &Receiver<Message>) {
        while self.batch.len() < MAX_BATCH {
            let Ok(message) = messages.try_recv() else {
                return;
            };
            self.handle(message);
        }
    }

    fn handle(&mut self, message: Message) {
        match message {
            Message::Entry(queued) => self.batch.push(queued),
            Message::Sealed(attempt) => self.handle_seal(attempt),
            Message::Reopen => self.reopen(),
            Message::Stop(reply) => self.stopping = Some(reply),
        }
    }

    fn handle_seal(&mut self, attempt: Attempt) {
        let lag = self.chain.seq - attempt.head.seq + (self.batch.len() + self.own.len()) as u64;
        let (is_last, metrics) = (self.stopping.is_some(), &self.state.metrics);
        let line = self.seals.complete(attempt, lag, is_last, metrics);
        self.own.extend(line);
    }

    fn reopen(&mut self) {
        if let Err(error) = self.file.reopen() {
            self.state.metrics.failures.inc();
            tracing::error!(%error, "cannot reopen the audit trail; the current file stays in use; retrying");
        }
    }

    fn max_wait(&self) -> Duration {
        if !self.own.is_empty() && !self.is_failing() {
            return Duration::ZERO;
        }
        match self.is_failing() || self.seals.is_pending() {
            true => RETRY,
            false => self.seals.pause().max(MIN_WAIT),
        }
    }

    fn is_failing(&self) -> bool {
        self.state.failing.load(Ordering::Relaxed)
    }

    /// Writes all queued entries. If entries have no line, a `recovered` line about them comes first.
    fn write(&mut self) {
        let unrecorded = self.state.unrecorded.load(Ordering::Relaxed);
        let has_losses = unrecorded > 0 || self.is_failing();
        if self.batch.is_empty() && self.own.is_empty() && !has_losses {
            return;
        }
        let began = Instant::now();
        *self.state.writing() = Some(began);
        let losses = has_losses.then(|| self.recovered(unrecorded));
        let chain = self.compose(losses.as_ref());
        let entries = self.batch.len();
        match self.file.append(&self.lines, self.chain.seq + 1, chain) {
            Ok(()) => {
                let counter = &self.state.unrecorded;
                counter.fetch_sub(unrecorded, Ordering::Relaxed);
                self.succeed(chain, began);
            }
            Err(error) => self.fail_batch(&error),
        }
        *self.state.writing() = None;
        let last_batch = &self.state.last_batch;
        *last_batch.lock().unwrap_or_else(poisoned) = Some((Instant::now(), began.elapsed()));
        self.pause = batching::pause(entries, began.elapsed());
    }

    fn recovered(&self, unrecorded: u64) -> Entry {
        let members = serde_json::json!({
            "cause": "unrecorded", "unrecorded": unrecorded, "error": self.last_error,
        });
        Entry::new(Kind::Recovered, &members)
    }

    fn compose(&mut self, losses: Option<&Entry>) -> Position {
        self.lines.clear();
        self.kinds.clear();
        let (mut chain, lines, kinds) = (self.chain, &mut self.lines, &mut self.kinds);
        let mut compose = |entry: &Entry| {
            kinds.push(entry.kind);
            chain.append(entry, lines);
        };
        losses.into_iter().chain(&self.own).for_each(&mut compose);
        for queued in &self.batch {
            queued.entry.compose(&mut compose);
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
            tracing::info!(
                seq = chain.seq,
                "audit trail recovered; entries are written again"
            );
        }
        self.own.clear();
        // The lines of the batch are the last ones.
        let before = chain.seq - self.batch.len() as u64;
        self.own = self.settle(Some(before), || Ok(()));
    }

    fn fail_batch(&mut self, error: &std::io::Error) {
        self.fail(error);
        let lost = self.batch.iter().filter(|queued| queued.reply.is_none());
        self.state.metrics.lost.inc_by(lost.count() as u64);
        self.state.count_unrecorded(self.batch.len() as u64);
        let reason = error.to_string();
        self.settle(None, || Err(AuditError::Unwritten(reason.clone())));
    }

    fn fail(&mut self, error: &std::io::Error) {
        self.state.metrics.failures.inc();
        self.state.metrics.healthy.set(0);
        self.last_error = error.to_string();
        if !self.state.failing.swap(true, Ordering::Relaxed) {
            tracing::error!(%error, "cannot write the audit trail");
        }
    }

    /// Sends the outcome of the batch to its callers. `before` is the number of the line before the batch if the batch was written. Returns
    /// corrections of lines whose callers stopped waiting during the write.
    fn settle(&mut self, before: Option<u64>, outcome: impl Fn() -> RecordResult) -> Vec<Entry> {
        let mut corrections = Vec::new();
        for (number, queued) in (1..).zip(self.batch.drain(..)) {
            let instead = queued.entry.settle(before.is_some());
            let seq = before.map_or(0, |before| before + number);
            corrections.extend(instead.map(|entry| entry.correcting(seq)));
            self.state.metrics.depth.dec();
            if let Some(reply) = queued.reply {
                // The caller may have stopped waiting. The line stays.
                drop(reply.send(outcome()));
            }
            drop(queued.permit);
        }
        corrections
    }

    /// Writes all queued entries, the `stop` line and, if the HSM responds in time, a last checkpoint.
    fn stop(mut self, messages: &Receiver<Message>) {
        self.drain(messages);
        self.own.push(Entry::lifecycle(Kind::Stop));
        self.write();
        let until = Instant::now() + self.seal_timeout + RETRY;
        self.wait_for_seal(messages, until);
        if !self.is_failing() && self.seals.has_sealer() {
            self.seals.request(self.chain);
            self.wait_for_seal(messages, until);
        }
        self.write();
        let entries = self.state.unrecorded.load(Ordering::Relaxed);
        if entries > 0 {
            let error = &self.last_error;
            tracing::error!(
                entries,
                error,
                "the audit trail stopped, and these entries have no line"
            );
        }
        let reply = self.stopping.take().flatten();
        // Release the lock first: the caller may open the audit trail again immediately.
        drop(self.file);
        if let Some(reply) = reply {
            // The caller may have stopped waiting.
            reply.send(()).unwrap_or_default();
        }
    }

    fn wait_for_seal(&mut self, messages: &Receiver<Message>, until: Instant) {
        while self.seals.is_pending() {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(message) = messages.recv_timeout(left) else {
                return;
            };
            self.handle(message);
            self.write();
        }
    }

    fn drain(&mut self, messages: &Receiver<Message>) {
        while let Ok(message) = messages.try_recv() {
            self.handle(message);
            if self.batch.len() >= MAX_BATCH {
                self.write();
            }
        }
    }
}
