//! One span per request for an OpenTelemetry collector: OTLP over HTTP in its JSON form.
//!
//! The spans are made from the events of the access log, so they hold what its lines hold and no more. OTLP's JSON needs no library; the
//! OpenTelemetry crates would bring more than fifty, gRPC's types among them, into a proxy that holds keys.
//!
//! # Invariants
//! - No request waits for the collector: a span is taken or lost at once, and what was lost is counted.
//! - What waits is bounded: in number, and each text in length.

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

/// Spans that may wait.
const ROOM: usize = 2_048;

/// Spans in one message.
const BATCH: usize = 256;

/// How long spans gather before they are sent.
const GATHERING: Duration = Duration::from_millis(500);

/// How long a collector that has failed is left alone.
const PAUSE: Duration = Duration::from_secs(1);

/// How often the log says that spans are lost.
const SILENCE: Duration = Duration::from_secs(60);

/// The export while it runs.
#[derive(Clone)]
pub(super) struct Spans {
    messages: SyncSender<Message>,
    losses: Arc<Mutex<Losses>>,
}

enum Message {
    Span(Box<Span>),
    /// Send what there is, then say so.
    Flush(Sender<()>),
}

impl Spans {
    /// Starts the thread that sends.
    ///
    /// # Errors
    /// When the system has no thread for it.
    pub(super) fn start(collector: Collector) -> io::Result<Self> {
        let (messages, incoming) = sync_channel(ROOM);
        let losses = Arc::default();
        let exporter = Exporter {
            collector,
            losses: Arc::clone(&losses),
            told: None,
        };
        essential_thread("xks-otlp", move || {
            // Ends when nobody has something to send any more.
            exporter.run(&incoming);
            End::Requested
        })?;
        Ok(Self { messages, losses })
    }

    /// What listens to the access log, whether or not the log writes it.
    pub(super) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let targets = ["xks_proxy::access", "xks_proxy::unsampled"];
        let every = targets.map(|target| (target, LevelFilter::TRACE));
        Listener(self.clone()).with_filter(Targets::new().with_targets(every))
    }

    /// Declares the counter of what was lost.
    ///
    /// # Errors
    /// [`MetricsError`] when its name is taken.
    pub(super) fn declare(&self, metrics: &Metrics) -> Result<(), MetricsError> {
        let counter = metrics.counter(
            "xks_otlp_lost_spans_total",
            "Spans that were lost because the collector did not take them.",
            &[],
        )?;
        with(&self.losses, |losses| losses.count_in(&counter));
        Ok(())
    }

    /// Sends what waits; gives up after this long.
    pub(super) fn flush(&self, patience: Duration) {
        let (done, flushed) = channel();
        if self.messages.try_send(Message::Flush(done)).is_ok() {
            // Then the rest is lost with the process.
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
    /// When the log has last said that spans are lost.
    told: Option<Instant>,
}

impl Exporter {
    fn run(mut self, incoming: &Receiver<Message>) {
        while let Ok(first) = incoming.recv() {
            let mut batch = Vec::new();
            let done = gather(first, incoming, &mut batch);
            self.send(&batch);
            if let Some(done) = done {
                // Nobody waits any more when this fails.
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
        if self.told.is_none_or(|told| told.elapsed() > SILENCE) {
            let spans = with(&self.losses, Losses::take_untold);
            tracing::warn!(spans, %error, "spans were lost: the collector does not take them");
            self.told = Some(Instant::now());
        }
        thread::sleep(PAUSE);
    }
}

/// Takes what comes until it is enough, or somebody waits for it.
fn gather(
    first: Message,
    incoming: &Receiver<Message>,
    batch: &mut Vec<Span>,
) -> Option<Sender<()>> {
    let until = Instant::now() + GATHERING;
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
