//! The log: one line per event on standard output, as JSON or as text. Whoever logs never waits for whoever reads, see [`queue`].

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

/// How long the end waits for whoever reads the log.
const PATIENCE: Duration = Duration::from_secs(3);

/// The log cannot be set up.
#[derive(Debug, Error)]
pub enum LogError {
    /// No thread, or no standard output.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The process has a log already.
    #[error(transparent)]
    Taken(#[from] TryInitError),
}

/// The log while it runs. When this is dropped the log ends: what waits is written, if somebody reads.
pub struct Log(Outputs);

/// What the log goes to.
#[derive(Clone)]
struct Outputs {
    queue: Arc<Queue>,
    #[cfg(feature = "otlp")]
    spans: Option<Spans>,
}

impl Drop for Log {
    fn drop(&mut self) {
        // First what may still have something to say in the log.
        #[cfg(feature = "otlp")]
        if let Some(spans) = &self.0.spans {
            spans.flush(PATIENCE);
        }
        self.0.queue.close(PATIENCE);
    }
}

/// Sets the process's log up. Only the first call of a process does.
///
/// # Errors
/// [`LogError`].
pub fn start(settings: &LogSettings) -> Result<(Log, LevelHandle), LogError> {
    // A handle of its own: Rust's standard output would hold lines back, under a lock that others take as well.
    let queue = Queue::start(File::from(stdout().as_fd().try_clone_to_owned()?))?;
    let (filter, handle) = reload::Layer::new(filter(settings.level));
    let lines = lines(settings.format, &queue).with_filter(filter);
    let outputs = Outputs {
        queue,
        #[cfg(feature = "otlp")]
        spans: settings.otlp.clone().map(Spans::start).transpose()?,
    };
    let of_end = Arc::clone(&outputs.queue);
    set_last_action(move || of_end.close(PATIENCE));
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
    /// Logs from now on what is at least this.
    pub fn set(&self, level: LogLevel) {
        if let Err(error) = self.handle.reload(filter(level)) {
            tracing::error!(%error, "the log's level cannot be changed");
        }
    }

    /// Declares what the log counts.
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

/// Libraries speak up when something is wrong with them, and not about every frame. What h2 warns about is what a client has sent, with a line for
/// each frame; the connections that it ends are counted and logged by the server. What the sample leaves out is for spans only.
fn filter(of: LogLevel) -> Targets {
    Targets::new()
        .with_target("xks_proxy", level(of))
        .with_target("xks_proxy::unsampled", LevelFilter::OFF)
        .with_target("h2", level(of).min(LevelFilter::ERROR))
        .with_default(level(of).min(LevelFilter::WARN))
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
