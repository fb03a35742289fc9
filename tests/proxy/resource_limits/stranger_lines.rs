//! The lines of clients without a verified signature in log and audit trail: each failed authentication is counted exactly, texts from outside are cut, and
//! a flood does not fill the disk.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::thread;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::http::{Connection, Request};
use crate::harness::metrics::eventually;
use crate::harness::trail::Trail;
use crate::harness::wire::{encrypt_body, plain_body};
use crate::harness::{PAYMENTS, Proxy, RETAIL};

/// The maximum length of a line with one cut text, in bytes.
const LONG: usize = 4_096;

/// The bytes that may be written at once and per second; see `src/server/unverified/line_budget.rs`.
const BURST: usize = 512 * 1024;
const PER_SECOND: usize = 64 * 1024;

fn audited() -> (Proxy, Trail) {
    let mut trail = None;
    let proxy = Proxy::start_with(|setup| trail = Some(setup.audit("")));
    (proxy, trail.unwrap())
}

/// Returns a request that is signed with a wrong secret.
fn forged(proxy: &Proxy) -> Request {
    let mut intruder = proxy.caller(&PAYMENTS);
    intruder.signer.secret = RETAIL.secret.into();
    intruder.request("health", "", plain_body("health").to_string())
}

/// Returns the lines of failed authentications, and the number of failures that they count.
fn failures(trail: &Trail) -> (Vec<Value>, u64) {
    let mut lines = trail.of_kind("security");
    lines.retain(|line| line["event"] == "authentication_failed");
    let count = |line: &Value| line["count"].as_u64().unwrap_or(1);
    let sum = lines.iter().map(count).sum();
    (lines, sum)
}

#[test]
fn a_burst_of_wrong_signatures_has_one_line_at_once_and_then_aggregate_lines() {
    let (proxy, trail) = audited();
    let request = forged(&proxy);
    let mut connection = proxy.connect();
    for _ in 0..102 {
        assert_eq!(connection.exchange(&request).status, 401);
    }
    let first = trail.wait_for_event("authentication_failed");
    assert!(
        first["peer"].as_str().unwrap().starts_with("127.0.0.1:"),
        "{first}"
    );
    assert_eq!(
        (&first["key_store"], &first["count"]),
        (&json!("payments"), &Value::Null)
    );
    assert!(
        first["reason"].as_str().unwrap().contains("signature"),
        "{first}"
    );
    let aggregate = trail.wait_for("an aggregate line", |line| line["count"].is_u64());
    assert_eq!(aggregate["source"], "127.0.0.1");
    eventually("every failure counted in a line", || {
        (failures(&trail).1 == 102).then_some(())
    });
    assert!(failures(&trail).0.len() < 10, "{:?}", failures(&trail).0);
    trail.assert_chain();
}

#[test]
fn the_last_aggregate_line_is_written_at_the_end() {
    let (mut proxy, trail) = audited();
    let request = forged(&proxy);
    let mut connection = proxy.connect();
    for _ in 0..50 {
        connection.exchange(&request);
    }
    drop(connection);
    proxy.daemon.signal(Signal::TERM);
    assert_eq!(proxy.daemon.wait().code(), Some(0));
    assert_eq!(failures(&trail).1, 50, "{:?}", failures(&trail).0);
}

#[test]
fn every_failure_of_more_sources_than_the_table_holds_is_counted() {
    const SOURCES: u32 = 4_200;
    let (mut proxy, trail) = audited();
    let request = forged(&proxy);
    thread::scope(|scope| {
        for part in 0..4 {
            let (proxy, request) = (&proxy, &request);
            scope.spawn(move || {
                for n in (part..SOURCES).step_by(4) {
                    let [.., high, low] = n.to_be_bytes();
                    let source = Ipv4Addr::new(127, 2, high, low);
                    let client = Arc::clone(&proxy.client);
                    let mut connection =
                        Connection::open_from(source, proxy.server, client).unwrap();
                    for _ in 0..2 {
                        assert_eq!(connection.exchange(request).status, 401);
                    }
                }
            });
        }
    });
    let labels = [("reason", "signature")];
    assert_eq!(
        proxy.metric("xks_authentication_failures_total", &labels),
        Some(8_400.0)
    );
    proxy.daemon.signal(Signal::TERM);
    assert_eq!(proxy.daemon.wait().code(), Some(0));
    let (lines, sum) = failures(&trail);
    assert_eq!(sum, 8_400);
    let other = lines.iter().filter(|line| line["source"] == "other");
    assert!(other.count() >= 1);
    trail.assert_chain();
}

#[test]
fn a_text_from_outside_is_cut_in_every_line_and_marked_as_cut() {
    let (proxy, trail) = audited();
    let payments = proxy.caller(&PAYMENTS);
    let long = format!("host;x-amz-date;{}", "z".repeat(60_000));
    let request = payments.request("health", "", plain_body("health").to_string());
    let signed = request.value("authorization").to_owned();
    let (before, after) = signed.split_once("SignedHeaders=").unwrap();
    let (_, signature) = after.split_once(',').unwrap();
    let forged = format!("{before}SignedHeaders={long},{signature}");
    let response = proxy.send(&request.replacing("authorization", &forged));
    assert_eq!(response.status, 401);
    let is_cut = |line: &str| line.contains("[cut, 600") && line.contains(" bytes in all]");
    eventually("a cut access line", || {
        let log = proxy.daemon.log();
        log.iter()
            .find(|line| is_cut(line))
            .map(|line| assert!(line.len() < LONG, "{line}"))
    });
    let event = trail.wait_for_event("authentication_failed").to_string();
    assert!(is_cut(&event) && event.len() < LONG, "{event}");

    let mut body = encrypt_body(b"x");
    body["requestMetadata"]["kmsRequestId"] = json!("\u{7f}".repeat(60_000));
    body["requestMetadata"]["unknown"] = json!(["\u{7f}".repeat(1_000)]);
    payments.call("encrypt", "orders", &body).ok();
    let line = trail.of_kind("request").pop().unwrap();
    let text = line.to_string();
    assert!(text.len() < 4 * LONG, "{} bytes", text.len());
    for (field, length) in [("kmsRequestId", 60_000), ("unknown_fields", 6_016)] {
        let text = line["request_metadata"][field].as_str().unwrap();
        assert!(
            text.ends_with(&format!("[cut, {length} bytes in all]")),
            "{text}"
        );
    }
    eventually("the access line of the other request", || {
        let log = proxy.daemon.log();
        let line = log
            .iter()
            .find(|line| line.contains("[cut, 60000 bytes in all]"));
        line.map(|line| assert!(line.len() < 4 * LONG, "{} bytes", line.len()))
    });
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "one scenario, whose counts are compared at its end"
)]
fn a_flood_without_signatures_does_not_fill_the_log() {
    const REQUESTS: usize = 3_000;
    let (mut proxy, trail) = audited();
    let start = std::time::Instant::now();
    let before = proxy.daemon.log().len();
    let long = "z".repeat(40_000);
    let value = format!(
        "AWS4-HMAC-SHA256 Credential=XKSNOBODYKEYAAAAAAAA/20260101/eu-west-1/kms-xks-proxy/aws4_request, SignedHeaders={long}, Signature={}",
        "0".repeat(64)
    );
    let unsigned = proxy.caller(&PAYMENTS).unsigned("health", "", "{}");
    let request = unsigned.with("authorization", &value);
    thread::scope(|scope| {
        for _ in 0..4 {
            let (proxy, request) = (&proxy, &request);
            scope.spawn(move || {
                let mut connection = proxy.connect();
                for _ in 0..REQUESTS / 4 {
                    assert_eq!(connection.exchange(request).status, 401);
                }
            });
        }
    });
    let labels = [("line", "request")];
    let unlogged = proxy
        .metric("xks_unverified_unlogged_total", &labels)
        .unwrap() as usize;
    proxy.daemon.signal(Signal::TERM);
    assert_eq!(proxy.daemon.wait().code(), Some(0));
    let log = eventually("the last line", || {
        let log = proxy.daemon.log();
        log.iter()
            .any(|line| line.contains("\"stopped\""))
            .then(|| log[before..].to_vec())
    });
    let bytes: usize = log.iter().map(|line| line.len() + 1).sum();
    let trailed = std::fs::metadata(trail.path()).unwrap().len() as usize;
    let seconds = start.elapsed().as_secs() as usize + 1;
    let most = BURST + PER_SECOND * seconds + 16 * 1024;
    assert!(
        bytes + trailed < most,
        "{bytes} + {trailed} bytes in {seconds} s"
    );
    let parsed: Vec<Value> = log
        .iter()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let lines = parsed
        .iter()
        .filter(|line| line["message"] == "request")
        .count();
    assert_eq!(lines + unlogged, REQUESTS);
    let aggregated = parsed.iter().filter_map(|line| line["requests"].as_u64());
    assert_eq!(aggregated.sum::<u64>() as usize, unlogged);
    assert_eq!(failures(&trail).1 as usize, REQUESTS);
}
