//! One span per request for an OpenTelemetry collector: OTLP over HTTP in its JSON form.
//!
//! Spans are made from the events of the access log, so they contain what its lines contain and no more. OTLP's JSON form needs no
//! library. The OpenTelemetry crates would add more than fifty dependencies, gRPC among them, to a process with secrets.
//!
//! # Invariants
//! - No request waits for the collector: a span is queued or lost at once, and losses are counted.
//! - The queue is bounded: in its number of spans, and in the length of each text.

mod post;
mod span;

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::losses::Losses;
use crate::logging::Collector;
use crate::metrics::{Metrics, MetricsError};
use crate::sync::{End, essential_thread, poisoned};
use span::Span;

/// The most spans in the queue.
const QUEUE_LENGTH: usize = 2_048;

/// The most spans in one export.
const BATCH: usize = 256;

/// How long spans are collected before they are sent.
const BATCH_TIME: Duration = Duration::from_millis(500);

/// The pause after a failed export.
const PAUSE: Duration = Duration::from_secs(1);

/// The shortest interval between warnings about lost spans.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// The running export.
#[derive(Clone)]
pub(super) struct Spans {
    messages: SyncSender<Message>,
    losses: Arc<Mutex<Losses>>,
}

enum Message {
    Span(Box<Span>),
    /// Send all queued spans, then confirm.
    Flush(Sender<()>),
}

impl Spans {
    /// Starts the thread that sends spans.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(super) fn start(collector: Collector) -> io::Result<Self> {
        let (messages, incoming) = sync_channel(QUEUE_LENGTH);
        let losses = Arc::default();
        let exporter = Exporter {
            collector,
            losses: Arc::clone(&losses),
            warned_at: None,
        };
        essential_thread("xks-otlp", move || {
            // Ends when all senders of the queue are dropped.
            exporter.run(&incoming);
            End::Requested
        })?;
        Ok(Self { messages, losses })
    }

    /// Returns the layer that makes spans from the access log, also from events that the log does not write.
    pub(super) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let targets = ["xks_proxy::access", "xks_proxy::unsampled"];
        let all_levels = targets.map(|target| (target, LevelFilter::TRACE));
        Listener(self.clone()).with_filter(Targets::new().with_targets(all_levels))
    }

    /// Declares the counter of lost spans.
    ///
    /// # Errors
    /// [`MetricsError`] when its name is taken.
    pub(super) fn declare(&self, metrics: &Metrics) -> Result<(), MetricsError> {
        let counter = metrics.counter(
            "xks_otlp_lost_spans_total",
            "Spans that were lost because the collector did not accept them.",
            &[],
        )?;
        with(&self.losses, |losses| losses.count_in(&counter));
        Ok(())
    }

    /// Sends queued spans, for at most this long.
    pub(super) fn flush(&self, patience: Duration) {
        let (done, flushed) = channel();
        if self.messages.try_send(Message::Flush(done)).is_ok() {
            // After a timeout, the rest is lost.
            let _ = flushed.recv_timeout(patience);
        }
    }
}

struct Listener(Spans);

impl<S: Subscriber> Layer<S> for Listener {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let Some(span) = Span::of(event, SystemTime::now()) else {
            return;
        };
        if self
            .0
            .messages
            .try_send(Message::Span(Box::new(span)))
            .is_err()
        {
            with(&self.0.losses, |losses| losses.add(1));
        }
    }
}

struct Exporter {
    collector: Collector,
    losses: Arc<Mutex<Losses>>,
    /// When the last warning about lost spans was logged.
    warned_at: Option<Instant>,
}

impl Exporter {
    fn run(mut self, incoming: &Receiver<Message>) {
        while let Ok(first) = incoming.recv() {
            let mut batch = Vec::new();
            let done = collect(first, incoming, &mut batch);
            self.send(&batch);
            if let Some(done) = done {
                // Fails when the flush has timed out.
                let _ = done.send(());
            }
        }
    }

    fn send(&mut self, batch: &[Span]) {
        if batch.is_empty() {
            return;
        }
        let Err(error) = post::post(&self.collector, &span::message(batch)) else {
            return;
        };
        let lost = u64::try_from(batch.len()).unwrap_or(0);
        with(&self.losses, |losses| losses.add(lost));
        if self
            .warned_at
            .is_none_or(|at| at.elapsed() > WARNING_INTERVAL)
        {
            let spans = with(&self.losses, Losses::take_unreported);
            tracing::warn!(spans, %error, "spans lost; the collector does not accept them");
            self.warned_at = Some(Instant::now());
        }
        thread::sleep(PAUSE);
    }
}

/// Collects spans until the batch is full, [`BATCH_TIME`] has passed, or a flush is requested. Returns the confirmation of a flush.
fn collect(
    first: Message,
    incoming: &Receiver<Message>,
    batch: &mut Vec<Span>,
) -> Option<Sender<()>> {
    let until = Instant::now() + BATCH_TIME;
    let mut next = Ok(first);
    loop {
        match next {
            Ok(Message::Span(span)) => batch.push(*span),
            Ok(Message::Flush(done)) => return Some(done),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
        }
        if batch.len() >= BATCH {
            return None;
        }
        next = incoming.recv_timeout(until.saturating_duration_since(Instant::now()));
    }
}

fn with<T>(losses: &Mutex<Losses>, work: impl FnOnce(&mut Losses) -> T) -> T {
    work(&mut losses.lock().unwrap_or_else(poisoned))
}
