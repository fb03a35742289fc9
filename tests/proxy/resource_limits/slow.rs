//! Slow clients and clients with many requests: each uses a bounded amount of time and slots, and other clients are not affected.

use std::io::{ErrorKind, Read as _, Write as _};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::control::{Control, Function};
use crate::harness::http::{Connection, Request, tcp};
use crate::harness::metrics::eventually;
use crate::harness::outage::faulty_with;
use crate::harness::wire::{encrypt_body, plain_body};
use crate::harness::{PATIENCE, PAYMENTS, Proxy};

/// The time between two bytes of a slow client.
const BYTE_INTERVAL: Duration = Duration::from_millis(50);

fn proxy_with(limit: &'static str, value: &str) -> Proxy {
    Proxy::start_with(|setup| setup.set("server.limits", limit, value))
}

/// Sends one byte at a time until the proxy responds or closes. A response must be an error.
#[track_caller]
fn send_slowly_until_rejected(connection: &mut Connection, bytes: &[u8]) {
    connection.set_patience(BYTE_INTERVAL);
    let start = Instant::now();
    for byte in bytes.iter().cycle() {
        assert!(start.elapsed() < PATIENCE, "the proxy still reads");
        if connection.send(&[*byte]).is_err() {
            return;
        }
        match connection.try_response() {
            Ok(Some(response)) => {
                assert!(response.status >= 400, "{response:?}");
                return response.assert_error(response.status, "ValidationException");
            }
            Ok(None) => return,
            Err(_) => {}
        }
    }
}

#[test]
fn a_connection_without_a_handshake_is_closed() {
    let proxy = proxy_with("header_timeout", "\"1s\"");
    let mut socket = tcp(proxy.server).unwrap();
    match socket.read(&mut [0; 64]) {
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        Ok(bytes) => assert_eq!(bytes, 0, "the proxy sends nothing"),
    }
}

#[test]
fn a_slow_handshake_is_closed() {
    let proxy = proxy_with("header_timeout", "\"1s\"");
    let mut socket = tcp(proxy.server).unwrap();
    socket.set_read_timeout(Some(BYTE_INTERVAL)).unwrap();
    let start = Instant::now();
    // The ClientHello has 512 bytes. Byte by byte, it takes far longer than the limit.
    let hello = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    for byte in hello.into_iter().chain(std::iter::repeat(0)) {
        assert!(start.elapsed() < PATIENCE, "the proxy still reads");
        if socket.write_all(&[byte]).is_err() || socket.read(&mut [0; 64]).is_ok() {
            return;
        }
    }
}

#[test]
fn stalled_handshakes_do_not_block_other_clients() {
    let proxy = Proxy::start();
    let stalled: Vec<_> = (0..100).map(|_| tcp(proxy.server).unwrap()).collect();
    proxy
        .caller(&PAYMENTS)
        .encrypt("orders", b"served during the stall");
    drop(stalled);
}

#[test]
fn slow_headers_end_the_connection() {
    let proxy = proxy_with("header_timeout", "\"1s\"");
    let mut connection = proxy.connect();
    connection
        .send(b"POST /payments/kms/xks/v1/health HTTP/1.1\r\nx: ")
        .unwrap();
    send_slowly_until_rejected(&mut connection, b"y");
}

#[test]
fn a_connection_without_a_request_is_closed() {
    let proxy = proxy_with("header_timeout", "\"1s\"");
    proxy.connect().assert_closes();
}

#[test]
fn a_body_that_stalls_is_rejected_at_the_deadline() {
    let proxy = proxy_with("request_timeout", "\"1s\"");
    let payments = proxy.caller(&PAYMENTS);
    let request = payments.request("encrypt", "orders", encrypt_body(b"x").to_string());
    let mut connection = proxy.connect();
    let bytes = request.bytes();
    connection.send(&bytes[..bytes.len() - 10]).unwrap();
    if let Some(response) = connection.next_error_response() {
        response.assert_error(400, "ValidationException");
    }
}

#[test]
fn a_slow_body_is_rejected_at_the_deadline() {
    let proxy = proxy_with("request_timeout", "\"1s\"");
    let payments = proxy.caller(&PAYMENTS);
    let request = payments.request("encrypt", "orders", "");
    let mut connection = proxy.connect();
    connection
        .send(&request.with("content-length", "60000").head())
        .unwrap();
    send_slowly_until_rejected(&mut connection, b"{");
}

/// An idle timeout that is long enough for the first request of a test on a busy machine.
const IDLE: &str = "\"3s\"";

fn health(proxy: &Proxy) -> Request {
    let body = plain_body("health").to_string();
    proxy.caller(&PAYMENTS).request("health", "", body)
}

#[test]
fn an_idle_connection_is_closed() {
    let proxy = proxy_with("idle_timeout", IDLE);
    let mut connection = proxy.connect();
    connection.exchange(&health(&proxy)).ok();
    connection.assert_closes();
}

#[test]
fn a_connection_in_use_is_not_idle() {
    let proxy = proxy_with("idle_timeout", IDLE);
    let mut used = proxy.connect();
    // It outlasts two idle connections, the second of which begins after the end of the first.
    for _ in 0..2 {
        let mut idle = proxy.connect();
        idle.exchange(&health(&proxy)).ok();
        idle.set_patience(Duration::from_millis(1));
        eventually("the end of an idle connection", || {
            used.exchange(&health(&proxy)).ok();
            match idle.try_response() {
                Ok(None) => Some(()),
                Ok(Some(surplus)) => panic!("{surplus:?}"),
                Err(error) => (error.kind() != ErrorKind::WouldBlock).then_some(()),
            }
        });
    }
    used.exchange(&health(&proxy)).ok();
}

#[test]
fn an_incomplete_head_after_a_request_ends_the_connection() {
    let proxy = proxy_with("header_timeout", "\"1s\"");
    let payments = proxy.caller(&PAYMENTS);
    let request = payments.request("encrypt", "orders", encrypt_body(b"x").to_string());
    let mut connection = proxy.connect();
    // Both are in one packet, so the proxy has read the incomplete head while it processes the request.
    let both = [request.bytes(), b"POST /payments/kms/xks".to_vec()].concat();
    connection.send(&both).unwrap();
    connection.response().expect("a response").ok();
    let start = Instant::now();
    connection.assert_closes();
    assert!(
        start.elapsed() < Duration::from_secs(60),
        "the idle timeout ended it"
    );
    let ended = [("reason", "header_timeout")];
    proxy.await_metric("xks_connections_closed_total", &ended, |count| count == 1.0);
}

#[test]
fn two_requests_in_one_packet_both_get_a_response() {
    let proxy = proxy_with("header_timeout", "\"1s\"");
    let payments = proxy.caller(&PAYMENTS);
    let mut connection = proxy.connect();
    let requests = [b"one", b"two"].map(|text| {
        let body = encrypt_body(text).to_string();
        payments.request("encrypt", "orders", body).bytes()
    });
    connection.send(&requests.concat()).unwrap();
    for _ in requests {
        connection.response().expect("a response").ok();
    }
}

#[test]
fn a_body_that_stalls_has_the_same_response_for_every_access_key_id() {
    let proxy = proxy_with("body_timeout", "\"300ms\"");
    let known = proxy.caller(&PAYMENTS);
    let mut unknown = proxy.caller(&PAYMENTS);
    unknown.signer.access_key_id = "XKSNOBODYKEYAAAAAAAA".into();
    let body = encrypt_body(b"x").to_string();
    let requests = [
        known.request("encrypt", "orders", body.clone()),
        unknown.request("encrypt", "orders", body.clone()),
        known.unsigned("encrypt", "orders", body),
    ];
    let rejected = requests.map(|request| {
        let bytes = request.bytes();
        let mut connection = proxy.connect();
        connection.send(&bytes[..bytes.len() - 10]).unwrap();
        let response = connection.response().expect("an error response");
        response.assert_error(400, "ValidationException");
        (response.status, response.body)
    });
    assert!(
        rejected.iter().all(|other| *other == rejected[0]),
        "{rejected:?}"
    );
}

/// Starts a proxy with one permit, whose HSM encrypts slowly.
fn with_one_permit() -> (Proxy, Control) {
    let (proxy, control) = faulty_with(|setup| setup.set("server.limits", "max_in_flight", "1"));
    control.set_delay(Function::Encrypt, 1_000_000);
    (proxy, control)
}

#[test]
fn verified_requests_over_the_in_flight_limit_are_throttled() {
    let (proxy, control) = with_one_permit();
    let payments = proxy.caller(&PAYMENTS);
    let request = payments.request("encrypt", "orders", encrypt_body(b"x").to_string());
    let mut slow = proxy.connect();
    slow.send(&request.bytes()).unwrap();
    proxy.await_metric("xks_requests_in_flight", &[], |value| value >= 1.0);
    let body = encrypt_body(b"x");
    let shed = payments.call("encrypt", "orders", &body);
    shed.assert_error(429, "ThrottlingException");
    let line = proxy.access_line(&body);
    assert_eq!(
        (&line["status"], &line["kms_operation"]),
        (&json!(429), &json!("Encrypt"))
    );
    slow.response().expect("a response").ok();
    assert!(proxy.metric("xks_shed_total", &[]).unwrap() >= 1.0);
    control.clear_faults();
    payments.encrypt("orders", b"the permit is free again");
}

#[test]
fn a_request_without_its_body_uses_no_permit() {
    let proxy = proxy_with("max_in_flight", "1");
    let payments = proxy.caller(&PAYMENTS);
    let request = payments.request("encrypt", "orders", encrypt_body(b"x").to_string());
    let bytes = request.bytes();
    let (most, rest) = bytes.split_at(bytes.len() - 10);
    let mut slow = proxy.connect();
    slow.send(most).unwrap();
    proxy.await_metric("xks_unverified_requests", &[], |value| value >= 1.0);
    payments.encrypt("orders", b"served in between");
    slow.send(rest).unwrap();
    slow.response().expect("a response").ok();
}

#[test]
fn a_client_that_disconnects_releases_its_bytes() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    let bytes = payments
        .request("encrypt", "orders", encrypt_body(b"x").to_string())
        .bytes();
    let mut connection = proxy.connect();
    connection.send(&bytes[..bytes.len() - 10]).unwrap();
    proxy.await_metric("xks_unverified_bytes", &[], |value| value > 4_096.0);
    drop(connection);
    proxy.await_metric("xks_unverified_bytes", &[], |value| value == 0.0);
    proxy.await_metric("xks_unverified_requests", &[], |value| value == 0.0);
    proxy.await_metric("xks_requests_total", &[("store", "payments")], |value| {
        value == 1.0
    });
}
