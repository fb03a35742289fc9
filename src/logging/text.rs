//! The fields of a text line. The fields of a worker's event, which arrive as one JSON object, are formatted like the fields of the front.

use std::fmt;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing_subscriber::field::{RecordFields, VisitFmt, VisitOutput as _};
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{DefaultVisitor, Writer};

use super::json::{RELAYED, RESERVED};

/// Formats the fields of an event.
pub(super) struct TextFields;

impl<'w> FormatFields<'w> for TextFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut visitor = Relaying(DefaultVisitor::new(writer, true));
        fields.record(&mut visitor);
        visitor.0.finish()
    }
}

struct Relaying<'w>(DefaultVisitor<'w>);

impl Relaying<'_> {
    /// Writes the fields of a worker's event. The message is already written, so each field begins with a space.
    fn relay(&mut self, fields: &Map<String, Value>) -> fmt::Result {
        let writer = self.0.writer();
        let own = fields
            .iter()
            .filter(|(name, _)| !RESERVED.contains(&name.as_str()));
        for (name, value) in own {
            match value {
                Value::String(text) => write!(writer, " {name}={text}")?,
                value => write!(writer, " {name}={value}")?,
            }
        }
        Ok(())
    }
}

impl Visit for Relaying<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        let is_relayed = field.name() == RELAYED;
        match is_relayed.then(|| serde_json::from_str(value)) {
            // If writing fails, the fields are left out.
            Some(Ok(fields)) => drop(self.relay(&fields)),
            _ => self.0.record_str(field, value),
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.0.record_error(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.record_debug(field, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn lines(log: impl FnOnce()) -> String {
        let captured = Captured::default();
        let writer = captured.clone();
        let subscriber = tracing_subscriber::fmt()
            .fmt_fields(TextFields)
            .with_ansi(false)
            .without_time()
            .with_target(false)
            .with_level(false)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, log);
        let bytes = captured.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    const WORKER_EVENT: &str =
        r#"{"error":"no such token","hsm":"hsm-a","keys":3,"message":"not mine","seen":true}"#;

    #[test]
    fn a_line_of_a_worker_looks_like_a_line_of_the_front() {
        let front_line = lines(|| {
            let (error, hsm) = ("no such token", "hsm-a");
            tracing::warn!(%error, %hsm, keys = 3, seen = true, "it {}", "happened");
        });
        let worker_line = lines(|| {
            tracing::warn!(relayed = WORKER_EVENT, "it {}", "happened");
        });
        assert_eq!(worker_line, front_line);
        assert!(front_line.contains("no such token"), "{front_line}");
    }

    #[test]
    fn other_fields_are_not_changed() {
        let line = lines(|| {
            let error: &dyn std::error::Error = &fmt::Error;
            tracing::warn!(error, text = "a b", relayed = "no object", "said");
        });
        let error = fmt::Error.to_string();
        let expected = format!("said error={error} text=\"a b\" relayed=\"no object\"");
        assert_eq!(line.trim(), expected);
    }
}
