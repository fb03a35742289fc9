//! `[log]`.

use super::section::Section;
use crate::server::Sample;

/// The `[log]` table.
#[derive(Clone, Debug, PartialEq)]
pub struct LogSettings {
    /// What is logged at least.
    pub level: LogLevel,
    /// How.
    pub format: LogFormat,
    /// Which successful requests have a line.
    pub sample: Sample,
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
        sample: Sample::ALL,
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
    if let Some(sample) = sample(&section) {
        settings.sample = sample;
    }
    section.finish();
    Some(settings)
}

fn sample(section: &Section<'_>) -> Option<Sample> {
    let key = "sample_successes";
    let sample = Sample::new(section.number(key)?);
    if sample.is_none() {
        section.fault(key, "must be from 0 (none) to 1 (all), such as 0.01");
    }
    sample
}
