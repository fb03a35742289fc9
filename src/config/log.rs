//! `[log]`.

use super::section::Section;

/// The `[log]` table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// What is logged at least.
    pub level: LogLevel,
    /// How.
    pub format: LogFormat,
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

/// The table; defaults where it or a key is not there.
pub(super) fn settings(root: &Section<'_>) -> Option<LogSettings> {
    let mut settings = LogSettings {
        level: LogLevel::Info,
        format: LogFormat::Json,
    };
    let Some(section) = root.section("log") else {
        return Some(settings);
    };
    let levels = [
        ("error", LogLevel::Error),
        ("warn", LogLevel::Warn),
        ("info", LogLevel::Info),
        ("debug", LogLevel::Debug),
        ("trace", LogLevel::Trace),
    ];
    if let Some(level) = section.choice("level", &levels) {
        settings.level = level;
    }
    let formats = [("json", LogFormat::Json), ("text", LogFormat::Text)];
    if let Some(format) = section.choice("format", &formats) {
        settings.format = format;
    }
    section.finish();
    Some(settings)
}
