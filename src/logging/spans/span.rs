//! The span of a request, and its form on the wire (OTLP 1, "OTLP/HTTP", JSON Protobuf encoding: 64-bit integers are texts, ids hexadecimal).

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::rand::{GetRandomFlags, getrandom};
use serde_json::{Value, json};
use tracing::Event;
use tracing::field::{Field, Visit};

use crate::build_info;

/// The kind of a server's span (OTLP's `SPAN_KIND_SERVER`).
const SERVER: u8 = 2;

/// The status of a span that failed (OTLP's `STATUS_CODE_ERROR`).
const FAILED: u8 = 2;

/// The longest text of an attribute, in characters.
const MAX_TEXT: usize = 1_024;

/// The span of a request, from its event in the access log.
#[derive(Debug, Default)]
pub(super) struct Span {
    trace_id: Option<String>,
    parent_id: Option<String>,
    is_unsampled: bool,
    name: Option<String>,
    status: u64,
    duration: Duration,
    ended: Duration,
    attributes: Vec<Value>,
}

impl Span {
    /// Returns the span of this event; none if the client marked its trace as not sampled.
    pub(super) fn of(event: &Event<'_>, ended: SystemTime) -> Option<Self> {
        let mut span = Self {
            ended: ended.duration_since(UNIX_EPOCH).unwrap_or_default(),
            ..Self::default()
        };
        event.record(&mut span);
        (!span.is_unsampled).then_some(span)
    }

    /// Adds an attribute. Fields that OpenTelemetry has a name for get that name; others begin with `xks.`.
    fn attribute(&mut self, field: &str, value: &Value) {
        let key = match field {
            "status" => "http.response.status_code",
            "error_name" => "error.type",
            "peer" => "client.address",
            _ => &format!("xks.{field}"),
        };
        self.attributes.push(json!({ "key": key, "value": value }));
    }

    fn json(&self) -> Value {
        let nanos = |time: Duration| time.as_nanos().to_string();
        let mut span = json!({
            "traceId": self.trace_id.clone().unwrap_or_else(id::<16>),
            "spanId": id::<8>(),
            "name": self.name.as_deref().unwrap_or("request"),
            "kind": SERVER,
            "startTimeUnixNano": nanos(self.ended.saturating_sub(self.duration)),
            "endTimeUnixNano": nanos(self.ended),
            "attributes": self.attributes,
            "status": {},
        });
        if let (Some(parent), Some(fields)) = (&self.parent_id, span.as_object_mut()) {
            fields.insert("parentSpanId".to_owned(), json!(parent));
        }
        // A rejected request (4xx) is not a failure of the server.
        if let (500.., Some(fields)) = (self.status, span.as_object_mut()) {
            fields.insert("status".to_owned(), json!({ "code": FAILED }));
        }
        span
    }
}

impl Visit for Span {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "trace_id" => self.trace_id = Some(value.to_owned()),
            "parent_id" => self.parent_id = Some(value.to_owned()),
            name => {
                if name == "operation" {
                    self.name = Some(value.to_owned());
                }
                let short: String = value.chars().take(MAX_TEXT).collect();
                self.attribute(name, &json!({ "stringValue": short }));
            }
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "duration_us" => return self.duration = Duration::from_micros(value),
            "status" => self.status = value,
            _ => {}
        }
        self.attribute(field.name(), &json!({ "intValue": value.to_string() }));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        match field.name() {
            "trace_sampled" => self.is_unsampled = !value,
            name => self.attribute(name, &json!({ "boolValue": value })),
        }
    }

    /// Ignores the sampling rate of the access log: spans are not sampled.
    fn record_f64(&mut self, _: &Field, _: f64) {}

    /// Ignores the message.
    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

/// Returns the body of one export.
pub(super) fn message(spans: &[Span]) -> String {
    let spans: Vec<Value> = spans.iter().map(Span::json).collect();
    let attribute = |key: &str, text: &str| json!({ "key": key, "value": { "stringValue": text } });
    let resource = [
        attribute("service.name", "xks-proxy"),
        attribute("service.version", build_info::VERSION),
    ];
    let scope_spans = json!({ "scope": { "name": "xks-proxy" }, "spans": spans });
    let resource_spans =
        json!({ "resource": { "attributes": resource }, "scopeSpans": [scope_spans] });
    json!({ "resourceSpans": [resource_spans] }).to_string()
}

/// Returns a random ID of `N` bytes in hexadecimal.
fn id<const N: usize>() -> String {
    let mut bytes = [0; N];
    // If the system call fails, the ID is zero, which collectors reject.
    let _ = getrandom(&mut bytes, GetRandomFlags::empty());
    crate::hex::encode(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_hexadecimal_and_differ() {
        let ids = [id::<8>(), id::<8>(), id::<16>()];
        assert_eq!(ids.each_ref().map(String::len), [16, 16, 32]);
        assert_ne!(ids[0], ids[1]);
    }

    #[test]
    fn a_span_is_as_long_as_its_request() {
        let span = Span {
            duration: Duration::from_micros(1_500),
            ended: Duration::from_secs(1_700_000_000),
            status: 503,
            ..Span::default()
        };
        let json = span.json();
        assert_eq!(json["startTimeUnixNano"], "1699999999998500000");
        assert_eq!(json["endTimeUnixNano"], "1700000000000000000");
        assert_eq!(json["status"]["code"], FAILED);
        assert!(json["parentSpanId"].is_null(), "a root");
    }
}
