//! The log: one line per event on standard output, as JSON or as text.

use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Registry, fmt, reload};

use crate::config::{LogFormat, LogLevel, LogSettings};

/// Sets the process's log up. Only the first call of a process does.
///
/// # Errors
/// When the process has a log already.
pub(super) fn start(settings: LogSettings) -> Result<LevelHandle, TryInitError> {
    let (filter, handle) = reload::Layer::new(filter(settings.level));
    let subscriber = tracing_subscriber::registry().with(filter);
    match settings.format {
        LogFormat::Json => {
            let lines = fmt::layer()
                .json()
                .flatten_event(true)
                .with_current_span(false);
            subscriber.with(lines.with_span_list(false)).try_init()?;
        }
        LogFormat::Text => {
            let lines = fmt::layer().with_ansi(std::io::stdout().is_terminal());
            subscriber.with(lines).try_init()?;
        }
    }
    Ok(LevelHandle(handle))
}

/// Changes the level of the running log.
pub(super) struct LevelHandle(reload::Handle<Targets, Registry>);

impl LevelHandle {
    /// Logs from now on what is at least this.
    pub(super) fn set(&self, level: LogLevel) {
        if let Err(error) = self.0.reload(filter(level)) {
            tracing::error!(%error, "the log's level cannot be changed");
        }
    }
}

/// Libraries speak up when something is wrong with them, and not about every frame.
fn filter(of: LogLevel) -> Targets {
    Targets::new()
        .with_target("xks_proxy", level(of))
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
