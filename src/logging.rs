//! The log: one line per event on standard output, as JSON or as text. Logging never waits for the reader of the output, see `queue`.
//! With the feature `otlp`, the access log is also sent to an OpenTelemetry collector, see `spans`.

mod journal;
mod json;
mod line;
mod losses;
mod queue;
mod settings;
#[cfg(feature = "otlp")]
mod spans;
mod text;

use std::fs::File;
use std::io::{self, IsTerminal, stdout};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Layer, Registry, fmt, reload};

use crate::metrics::{Metrics, MetricsError};
use crate::sync::set_last_action;
use json::Json;
use line::Sink;
use queue::Queue;
pub use settings::{Collector, LogFormat, LogLevel, LogSettings};
#[cfg(feature = "otlp")]
use spans::Spans;
use text::TextFields;

/// How long the end of the process waits for pending lines to be written.
const PATIENCE: Duration = Duration::from_secs(3);

/// Why the log cannot be started.
#[derive(Debug, Error)]
pub enum LogError {
    /// No thread can be started, or standard output is closed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The process has a log already.
    #[error(transparent)]
    Taken(#[from] TryInitError),
}

/// The running log. When this is dropped, pending lines are written, for at most three seconds, and the log ends.
pub struct Log(Outputs);

/// The outputs of the log.
#[derive(Clone)]
struct Outputs {
    queue: Arc<Queue>,
    #[cfg(feature = "otlp")]
    spans: Option<Spans>,
}

impl Drop for Log {
    fn drop(&mut self) {
        // First the spans: their loss is logged.
        #[cfg(feature = "otlp")]
        if let Some(spans) = &self.0.spans {
            spans.flush(PATIENCE);
        }
        self.0.queue.close(PATIENCE);
    }
}

/// Starts the log of the process.
///
/// # Errors
/// [`LogError`], also at the second call in a process.
pub fn start(settings: &LogSettings) -> Result<(Log, LevelHandle), LogError> {
    // A duplicate of the descriptor: Rust's `Stdout` buffers lines behind a lock that other code also takes.
    let queue = Queue::start(File::from(stdout().as_fd().try_clone_to_owned()?))?;
    let (filter, handle) = reload::Layer::new(filter(settings.level));
    let lines = lines(settings.format, &queue).with_filter(filter);
    let outputs = Outputs {
        queue,
        #[cfg(feature = "otlp")]
        spans: settings.otlp.clone().map(Spans::start).transpose()?,
    };
    let queue_to_close = Arc::clone(&outputs.queue);
    set_last_action(move || queue_to_close.close(PATIENCE));
    let subscriber = tracing_subscriber::registry().with(lines);
    #[cfg(feature = "otlp")]
    let subscriber = subscriber.with(outputs.spans.as_ref().map(Spans::layer));
    subscriber.try_init()?;
    let level = LevelHandle {
        handle,
        outputs: outputs.clone(),
    };
    Ok((Log(outputs), level))
}

fn lines(format: LogFormat, queue: &Arc<Queue>) -> Box<dyn Layer<Registry> + Send + Sync> {
    let has_priorities = journal::reads_standard_output();
    let has_colours = format == LogFormat::Text && !has_priorities && stdout().is_terminal();
    let lines = fmt::layer().with_ansi(has_colours).with_writer(Sink {
        queue: Arc::clone(queue),
        format,
        has_colours,
        has_priorities,
    });
    match format {
        LogFormat::Text => lines.fmt_fields(TextFields).boxed(),
        LogFormat::Json => lines.event_format(Json).boxed(),
    }
}

/// Changes the level of the running log.
pub struct LevelHandle {
    handle: reload::Handle<Targets, Registry>,
    outputs: Outputs,
}

impl LevelHandle {
    /// Logs events of this level and above from now on.
    pub fn set(&self, level: LogLevel) {
        if let Err(error) = self.handle.reload(filter(level)) {
            tracing::error!(%error, "the log level cannot be changed");
        }
    }

    /// Declares the metrics of the log.
    ///
    /// # Errors
    /// [`MetricsError`] when a name is taken.
    pub fn declare(&self, metrics: &Metrics) -> Result<(), MetricsError> {
        #[cfg(feature = "otlp")]
        if let Some(spans) = &self.outputs.spans {
            spans.declare(metrics)?;
        }
        self.outputs.queue.declare(metrics)
    }
}

/// Returns the filter of a level. Libraries log warnings and errors only. h2 logs errors only: it warns about each wrong frame of a client, and
/// the server counts and logs the connections that this ends. Requests outside of the sample have spans, but no line.
fn filter(configured: LogLevel) -> Targets {
    Targets::new()
        .with_target("xks_proxy", level(configured))
        .with_target("xks_proxy::unsampled", LevelFilter::OFF)
        .with_target("h2", level(configured).min(LevelFilter::ERROR))
        .with_default(level(configured).min(LevelFilter::WARN))
}

fn level(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}
