//! The settings of the log.

/// The settings of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct LogSettings {
    /// What is logged at least.
    pub level: LogLevel,
    /// How.
    pub format: LogFormat,
    /// Where spans are sent; none without `[log.otlp]`.
    pub otlp: Option<Collector>,
}

/// Where spans are sent: an OpenTelemetry collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector {
    /// Host and port.
    pub authority: String,
    /// What is asked for there.
    pub path: String,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the usual five")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// For people.
    Text,
}
