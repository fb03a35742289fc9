//! An event as one JSON object: `timestamp`, `level`, `message`, the event's fields under their names, `target`.
//!
//! Each request has a line, so the line is written directly: the JSON of the formatting layer costs about as much CPU time as the
//! verification of a signature.

use std::fmt;
use std::time::SystemTime;

use serde::Serialize;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::clock::push_utc;
use crate::json_line::JsonLine;

/// The usual length of a line of the access log, in bytes.
const USUAL_LENGTH: usize = 1_024;

/// Formats events as JSON.
pub(super) struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let line = String::from_utf8(line(event, SystemTime::now())).map_err(|_| fmt::Error)?;
        writer.write_str(&line)
    }
}

fn line(event: &Event<'_>, at: SystemTime) -> Vec<u8> {
    let mut members = Members(JsonLine::begin(USUAL_LENGTH, false));
    members.0.raw("timestamp", |out| {
        out.push(b'"');
        push_utc(out, at);
        out.push(b'"');
    });
    members.0.text("level", event.metadata().level().as_str());
    event.record(&mut members);
    members.0.text("target", event.metadata().target());
    let mut line = members.0.end();
    line.push(b'\n');
    line
}

/// The field that holds the fields of a worker's event, as one JSON object.
pub(super) const RELAYED: &str = "relayed";

/// Members that a line has exactly once.
pub(super) const RESERVED: [&str; 4] = ["timestamp", "level", "message", "target"];

/// Collects the fields of an event as members of a JSON object.
struct Members(JsonLine);

impl Members {
    fn relay(&mut self, fields: &str) {
        let Ok(fields) = serde_json::from_str::<Map<String, Value>>(fields) else {
            return self.0.text(RELAYED, fields);
        };
        let own = fields
            .iter()
            .filter(|(name, _)| !RESERVED.contains(&name.as_str()));
        own.for_each(|(name, value)| self.0.value(name, value));
    }
}

impl Visit for Members {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            RELAYED => self.relay(value),
            name => self.0.text(name, value),
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.value(field.name(), &value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.value(field.name(), &value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.value(field.name(), &value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.value(field.name(), &value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.value(field.name(), &DebugText(value));
    }
}

/// A value without a JSON type, written as its `Debug` text.
struct DebugText<'a>(&'a dyn fmt::Debug);

impl Serialize for DebugText<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:?}", self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::sync::{Arc, Mutex};
    use std::time::UNIX_EPOCH;
    use tracing_subscriber::Layer;
    use tracing_subscriber::layer::{Context, SubscriberExt as _};

    /// A layer that captures lines.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<String>>>);

    impl<S: Subscriber> Layer<S> for Kept {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            let line = String::from_utf8(line(event, UNIX_EPOCH)).unwrap();
            self.0.lock().unwrap().push(line);
        }
    }

    fn lines(log: impl FnOnce()) -> Vec<String> {
        let kept = Kept::default();
        let subscriber = tracing_subscriber::registry().with(kept.clone());
        tracing::subscriber::with_default(subscriber, log);
        let lines = kept.0.lock().unwrap();
        lines.clone()
    }

    #[test]
    fn members_keep_their_types_and_none_has_no_member() {
        let lines = lines(|| {
            tracing::warn!(
                target: "t", n = 1_u64, i = -1, f = 0.5, not = f64::NAN, yes = true, text = "a\"b\n\u{7f}é", r#type = "x",
                none = None::<u64>, debug = ?Some(1), error = &fmt::Error as &dyn std::error::Error, "said {}", 1
            );
        });
        assert_eq!(lines.len(), 1);
        let begin = r#"{"timestamp":"1970-01-01T00:00:00.000000Z","level":"WARN","message":"said 1","n":1,"#;
        assert!(lines[0].starts_with(begin), "{}", lines[0]);
        assert!(lines[0].ends_with(",\"target\":\"t\"}\n"), "{}", lines[0]);
        let read: Value = serde_json::from_str(&lines[0]).unwrap();
        let expected = json!({
            "timestamp": "1970-01-01T00:00:00.000000Z", "level": "WARN", "message": "said 1", "n": 1, "i": -1, "f": 0.5,
            "not": null, "yes": true, "text": "a\"b\n\u{7f}é", "type": "x", "debug": "Some(1)",
            "error": fmt::Error.to_string(), "target": "t",
        });
        assert_eq!(read, expected);
    }
}
