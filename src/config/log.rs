//! `[log]`.

use thiserror::Error;

use crate::logging::{Collector, LogFormat, LogLevel, LogSettings};
use crate::server::Sample;
use crate::toml_file::Section;

/// Returns the settings of the table and the sample of the access log; defaults for what the table does not have.
pub(super) fn settings(root: &Section<'_>) -> (LogSettings, Sample) {
    let mut settings = LogSettings {
        level: LogLevel::Info,
        format: LogFormat::Json,
        otlp: None,
    };
    let Some(section) = root.section("log") else {
        return (settings, Sample::ALL);
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
    let sample = sample(&section).unwrap_or(Sample::ALL);
    settings.otlp = otlp(&section);
    section.finish();
    (settings, sample)
}

fn sample(section: &Section<'_>) -> Option<Sample> {
    let key = "sample_successes";
    let sample = Sample::new(section.number(key)?);
    if sample.is_none() {
        section.error(key, "must be from 0 (none) to 1 (all), such as 0.01");
    }
    sample
}

/// The port of OTLP over HTTP (OTLP 1, "OTLP/HTTP Default Port").
const OTLP_PORT: u16 = 4318;

/// The path that is appended to the endpoint (OTLP 1, "OTLP/HTTP Request").
const TRACES: &str = "/v1/traces";

fn otlp(log: &Section<'_>) -> Option<Collector> {
    let section = log.section("otlp")?;
    let collector = section.parsed("endpoint", collector);
    let example = "\"http://127.0.0.1:4318\"";
    let collector = collector.or_else(|| section.missing("endpoint", example));
    section.finish();
    if !cfg!(feature = "otlp") {
        let message = "this build has no OTLP; build it with --features otlp, or remove the table";
        log.error("otlp", message);
    }
    collector
}

/// The value of `endpoint` is not a URL of a collector.
#[derive(Debug, Error)]
#[error("{0:?} is not an http:// URL such as http://127.0.0.1:4318")]
struct EndpointError(String);

fn collector(endpoint: &str) -> Result<Collector, EndpointError> {
    let wrong = || EndpointError(endpoint.to_owned());
    let uri: http::Uri = endpoint.parse().map_err(|_| wrong())?;
    let authority = uri.authority().ok_or_else(wrong)?;
    let is_plain = uri.scheme_str() == Some("http") && uri.query().is_none();
    if !is_plain || authority.as_str().contains('@') {
        return Err(wrong());
    }
    let port = authority.port_u16().unwrap_or(OTLP_PORT);
    Ok(Collector {
        authority: format!("{}:{port}", authority.host()),
        path: format!("{}{TRACES}", uri.path().trim_end_matches('/')),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_endpoint_has_the_default_port_and_path_of_otlp() {
        for (endpoint, authority, path) in [
            ("http://127.0.0.1:4318", "127.0.0.1:4318", "/v1/traces"),
            ("http://collector", "collector:4318", "/v1/traces"),
            ("http://[::1]:1/", "[::1]:1", "/v1/traces"),
            ("http://c:80/otlp/", "c:80", "/otlp/v1/traces"),
        ] {
            let found = collector(endpoint).unwrap();
            assert_eq!((&*found.authority, &*found.path), (authority, path));
        }
        for wrong in [
            "",
            "collector:4318",
            "https://c",
            "grpc://c:4317",
            "/v1/traces",
            "http://",
            "http://a@c",
            "http://c/?x=1",
        ] {
            assert!(collector(wrong).is_err(), "{wrong}");
        }
    }
}
