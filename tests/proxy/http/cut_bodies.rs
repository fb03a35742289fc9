//! A client that disconnects during a body is recorded as disconnected, over each version of HTTP, and never as one with a wrong signature.

use crate::harness::frames::{self, DATA, END_STREAM, RST_STREAM, frame};
use crate::harness::http::Request;
use crate::harness::metrics::eventually;
use crate::harness::trail::Trail;
use crate::harness::wire::{encrypt_body, plain_body};
use crate::harness::{PAYMENTS, Proxy};

const NO_ERROR: u32 = 0;
const CANCEL: u32 = 8;

/// PROTOCOL_ERROR, INTERNAL_ERROR, STREAM_CLOSED.
const OTHERS: [u32; 3] = [1, 2, 5];

fn audited() -> (Proxy, Trail) {
    let mut trail = None;
    let proxy = Proxy::start_with(|setup| trail = Some(setup.audit("")));
    (proxy, trail.unwrap())
}

fn signed(proxy: &Proxy) -> Request {
    let body = encrypt_body(b"x").to_string();
    proxy.caller(&PAYMENTS).request("encrypt", "orders", body)
}

fn await_arrival(proxy: &Proxy) {
    proxy.await_metric("xks_unverified_requests", &[], |count| count == 1.0);
}

/// Asserts that this number of requests is recorded with a disconnected client, and no request with a wrong signature.
#[track_caller]
fn assert_disconnected(proxy: &Proxy, trail: &Trail, count: usize) {
    let incomplete = [("operation", "encrypt"), ("outcome", "incomplete")];
    proxy.await_metric("xks_requests_total", &incomplete, |n| n == count as f64);
    let failures = proxy.metric("xks_authentication_failures_total", &[]);
    assert_eq!(failures.unwrap_or(0.0), 0.0);
    let mut events = trail.of_kind("security");
    events.retain(|event| event["event"] == "authentication_failed");
    assert!(events.is_empty(), "{events:?}");
    eventually("a line for each", || {
        let lines = proxy.daemon.log();
        let lines = lines
            .iter()
            .filter(|line| line.contains("\"client_disconnected\""));
        let lines: Vec<_> = lines.collect();
        assert!(
            lines.iter().all(|line| !line.contains("\"status\"")),
            "{lines:?}"
        );
        (lines.len() == count).then_some(())
    });
}

#[test]
fn a_stream_that_is_reset_during_its_body_is_a_disconnected_client() {
    let (proxy, trail) = audited();
    let request = signed(&proxy);
    let (part, length) = (&request.body[..40], request.body.len().to_string());
    let mut count = 0;
    for reason in [NO_ERROR, CANCEL].into_iter().chain(OTHERS) {
        for request in [
            request.clone(),
            request.clone().with("content-length", &length),
        ] {
            let mut connection = frames::raw(&proxy);
            connection.send(&frames::head(&request, 1)).unwrap();
            connection.send(&frame(DATA, 0, 1, part)).unwrap();
            await_arrival(&proxy);
            let reset = frame(RST_STREAM, 0, 1, &reason.to_be_bytes());
            connection.send(&reset).unwrap();
            count += 1;
            assert_disconnected(&proxy, &trail, count);
        }
    }
    proxy.caller(&PAYMENTS).health();
}

#[test]
fn a_connection_that_ends_during_a_body_is_a_disconnected_client() {
    let (proxy, trail) = audited();
    let request = signed(&proxy);
    let mut http2 = frames::raw(&proxy);
    http2.send(&frames::head(&request, 1)).unwrap();
    http2.send(&frame(DATA, 0, 1, &request.body[..40])).unwrap();
    await_arrival(&proxy);
    drop(http2);
    assert_disconnected(&proxy, &trail, 1);
    let mut http1 = proxy.connect();
    let bytes = request.bytes();
    http1.send(&bytes[..bytes.len() - 40]).unwrap();
    await_arrival(&proxy);
    drop(http1);
    assert_disconnected(&proxy, &trail, 2);
}

/// The whole body arrives before the reset, so the signature is verified. A request with a valid signature is recorded as verified.
#[test]
fn the_signature_of_a_stream_that_is_reset_after_its_body_is_verified() {
    let (proxy, trail) = audited();
    let body = plain_body("health");
    let payments = proxy.caller(&PAYMENTS);
    let good = payments.request("health", "", body.to_string());
    let mut connection = frames::raw(&proxy);
    connection.send(&frames::head(&good, 1)).unwrap();
    connection
        .send(&frame(DATA, 0, 1, &good.body[..10]))
        .unwrap();
    await_arrival(&proxy);
    let rest = frame(DATA, END_STREAM, 1, &good.body[10..]);
    let reset = frame(RST_STREAM, 0, 1, &CANCEL.to_be_bytes());
    connection.send(&[rest, reset].concat()).unwrap();
    let id = &body["requestMetadata"]["kmsRequestId"];
    trail.wait_for("the request", |line| {
        line["request_metadata"]["kmsRequestId"] == *id
    });
    let forged = payments.unsigned("health", "", body.to_string());
    connection.send(&frames::head(&forged, 3)).unwrap();
    let whole = frame(DATA, END_STREAM, 3, &forged.body);
    connection.send(&whole).unwrap();
    proxy.await_metric("xks_authentication_failures_total", &[], |n| n == 1.0);
}
