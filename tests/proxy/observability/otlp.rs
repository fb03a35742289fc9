//! Spans for an OpenTelemetry collector, in builds with the feature `otlp`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::setup::Setup;
use crate::harness::target::Nobody;
use crate::harness::wire::{encrypt_body, plain_body};
use crate::harness::{PATIENCE, PAYMENTS, Proxy};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";
const LOST: &str = "xks_otlp_lost_spans_total";

/// A collector that accepts every export.
struct Collector {
    address: SocketAddr,
    spans: Receiver<Value>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (found, spans) = channel();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                for span in exported(stream) {
                    if found.send(span).is_err() {
                        return;
                    }
                }
            }
        });
        Self { address, spans }
    }

    #[track_caller]
    fn span(&self) -> Value {
        let span = self.spans.recv_timeout(PATIENCE);
        span.expect("a span")
    }
}

/// Reads one export and answers it. Returns its spans.
fn exported(stream: TcpStream) -> Vec<Value> {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    let mut request_line = String::new();
    reader.read_line(&mut request_line).unwrap();
    assert_eq!(request_line, "POST /v1/traces HTTP/1.1\r\n");
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        match line.trim_end().split_once(": ") {
            Some(("Content-Length", value)) => length = value.parse().unwrap(),
            Some(("Content-Type", value)) => assert_eq!(value, "application/json"),
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let mut stream = reader.into_inner();
    stream
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
        .unwrap();
    let message: Value = serde_json::from_slice(&body).unwrap();
    let resource_spans = &message["resourceSpans"][0];
    let service = &resource_spans["resource"]["attributes"][0];
    assert_eq!(
        *service,
        json!({ "key": "service.name", "value": { "stringValue": "xks-proxy" } })
    );
    let spans = resource_spans["scopeSpans"][0]["spans"].as_array();
    spans.unwrap().clone()
}

fn sends_to(setup: &mut Setup, collector: SocketAddr) {
    let endpoint = format!("\"http://{collector}\"");
    setup.set("log.otlp", "endpoint", &endpoint);
}

fn attribute<'a>(span: &'a Value, key: &str) -> &'a Value {
    let attributes = span["attributes"].as_array().unwrap();
    let found = attributes.iter().find(|attribute| attribute["key"] == key);
    found.map_or(&Value::Null, |attribute| &attribute["value"])
}

#[test]
fn a_request_is_a_span_in_the_trace_of_its_caller() {
    let collector = Collector::start();
    let mut proxy = Proxy::start_with(|setup| {
        sends_to(setup, collector.address);
        // Requests without a log line also have spans.
        setup.set("log", "sample_successes", "0");
    });
    let payments = proxy.caller(&PAYMENTS);
    let call = |flags: &str| {
        let body = encrypt_body(b"a plaintext that no span holds");
        let request = payments.request("encrypt", "orders", body.to_string());
        let trace = format!("00-{TRACE}-{PARENT}-{flags}");
        proxy.send(&request.with("traceparent", &trace)).ok();
        body["requestMetadata"]["kmsRequestId"].clone()
    };
    call("00");
    let id = call("01");
    let span = collector.span();
    assert_eq!(attribute(&span, "xks.kms_request_id")["stringValue"], id);
    assert_eq!(
        (
            &span["traceId"],
            &span["parentSpanId"],
            &span["name"],
            &span["kind"]
        ),
        (&json!(TRACE), &json!(PARENT), &json!("encrypt"), &json!(2))
    );
    assert_eq!(
        attribute(&span, "http.response.status_code")["intValue"],
        "200"
    );
    assert_eq!(attribute(&span, "xks.key_store")["stringValue"], "payments");
    let nanos = |field: &str| span[field].as_str().unwrap().parse::<u128>().unwrap();
    assert!(nanos("startTimeUnixNano") < nanos("endTimeUnixNano"));
    assert!(!span.to_string().contains("plaintext"), "{span}");
    // A failed request without a trace is a root span. It is exported during the stop.
    let response = payments.call("metadata", "no-such-key", &plain_body("metadata"));
    response.assert_error(404, "KeyNotFoundException");
    proxy.daemon.signal(Signal::TERM);
    assert_eq!(proxy.daemon.wait().code(), Some(0));
    let span = collector.span();
    assert!(span["parentSpanId"].is_null(), "{span}");
    assert_ne!(span["traceId"], TRACE);
    assert_eq!(
        attribute(&span, "error.type")["stringValue"],
        "KeyNotFoundException"
    );
}

#[test]
fn spans_do_not_depend_on_the_level_of_the_log() {
    let collector = Collector::start();
    let mut proxy = Proxy::start_with(|setup| sends_to(setup, collector.address));
    let before = proxy.reloads("applied");
    proxy.setup.set("log", "level", "\"error\"");
    proxy.setup.replace();
    // The reload is not logged at this level.
    let labels = [("outcome", "applied")];
    proxy.await_metric("xks_config_reloads_total", &labels, |now| now > before);
    proxy.caller(&PAYMENTS).encrypt("orders", b"x");
    assert_eq!(collector.span()["name"], "encrypt");
}

#[test]
fn an_unreachable_collector_costs_spans_but_no_request() {
    let nobody = Nobody::bind();
    let address = SocketAddr::from(([127, 0, 0, 1], nobody.port()));
    let mut proxy = Proxy::start_with(|setup| sends_to(setup, address));
    assert_eq!(proxy.metric(LOST, &[]), Some(0.0));
    for _ in 0..20 {
        proxy.caller(&PAYMENTS).encrypt("orders", b"x");
    }
    proxy.await_metric(LOST, &[], |lost| lost >= 20.0);
    let is_loss = |line: &Value| {
        let message = line["message"].as_str().unwrap_or_default();
        message.starts_with("spans lost")
    };
    proxy.daemon.wait_for("the loss", is_loss);
    let log = proxy.daemon.log();
    let lines = log.iter().filter(|line| line.contains("spans lost"));
    assert_eq!(lines.count(), 1, "one line");
    proxy.daemon.signal(Signal::TERM);
    assert_eq!(proxy.daemon.wait().code(), Some(0));
}

#[test]
fn a_collector_that_never_answers_costs_spans_but_no_request() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let proxy = Proxy::start_with(|setup| sends_to(setup, address));
    let payments = proxy.caller(&PAYMENTS);
    let mut connection = proxy.connect();
    for _ in 0..3_000 {
        let body = plain_body("health").to_string();
        connection
            .exchange(&payments.request("health", "", body))
            .ok();
    }
    // The queue is full, or the first export failed.
    proxy.await_metric(LOST, &[], |lost| lost > 0.0);
}
