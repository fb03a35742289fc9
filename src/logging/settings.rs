//! The settings of the log.

/// The settings of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct LogSettings {
    /// The lowest level that is logged.
    pub level: LogLevel,
    /// The form of a line.
    pub format: LogFormat,
    /// Where spans are sent; none without the table `[log.otlp]`.
    pub otlp: Option<Collector>,
}

/// The OpenTelemetry collector that receives spans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector {
    /// Its host and port.
    pub authority: String,
    /// The path of the HTTP request.
    pub path: String,
}

/// The level of a log event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the five levels of `tracing`")]
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
    /// Text for people.
    Text,
}
