//! Bytes outside requests: a connection that carries many of them ends, for every kind of frame.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::harness::frames::{self, DATA, PING, PRIORITY, SETTINGS, WINDOW_UPDATE, frame, raw};
use crate::harness::h2::Http2;
use crate::harness::http::Connection;
use crate::harness::{PAYMENTS, Proxy};

/// The time within which a limit of one second must have taken effect, even on a busy machine.
const SOON: Duration = Duration::from_secs(10);

/// Returns HEADERS of an unsigned POST, with END_HEADERS and without END_STREAM.
fn head(proxy: &Proxy) -> Vec<u8> {
    let request = proxy.caller(&PAYMENTS).unsigned("health", "", "");
    frames::head(&request, 1)
}

fn floods(proxy: &Proxy) -> f64 {
    let flood = [("listener", "server"), ("reason", "flood")];
    let floods = proxy.metric("xks_connections_closed_total", &flood);
    floods.unwrap()
}

/// Sends a frame repeatedly until the connection ends. A megabyte is far above the limit, and socket buffers can hold the responses to it.
#[track_caller]
fn assert_ends(proxy: &Proxy, connection: &mut Connection, frame: &[u8]) {
    let before = floods(proxy);
    let batch = frame.repeat(4_096 / frame.len());
    let mut sent = 0;
    while connection.send(&batch).is_ok() {
        sent += batch.len();
        if sent > 1 << 20 {
            break;
        }
    }
    connection.set_patience(SOON);
    connection.drain();
    proxy.await_metric(
        "xks_connections_closed_total",
        &[("listener", "server"), ("reason", "flood")],
        |now| now == before + 1.0,
    );
}

#[test]
fn control_frames_without_a_request_end_the_connection() {
    let proxy = Proxy::start();
    for flood in [
        frame(PING, 0, 0, &[0; 8]),
        frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 7]),
        frame(SETTINGS, 0, 0, &[]),
        frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 9]),
        // Each increments the window by one byte, so that it does not overflow.
        frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]),
    ] {
        let mut connection = raw(&proxy);
        assert_ends(&proxy, &mut connection, &flood);
    }
    proxy.caller(&PAYMENTS).health();
}

#[test]
fn an_open_request_does_not_hide_a_flood() {
    let proxy = Proxy::start();
    for flood in [
        frame(PING, 0, 0, &[0; 8]),
        frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 7]),
    ] {
        let mut connection = raw(&proxy);
        connection.send(&head(&proxy)).unwrap();
        assert_ends(&proxy, &mut connection, &flood);
    }
    proxy.caller(&PAYMENTS).health();
}

#[test]
fn a_long_body_is_not_a_flood() {
    let proxy = Proxy::start_with(|setup| {
        setup.set("server.limits", "max_body", "\"4MiB\"");
    });
    let (connection, payments) = (Http2::open(&proxy), proxy.caller(&PAYMENTS));
    let upload = connection.start(&payments.unsigned("encrypt", "orders", ""));
    for _ in 0..300 {
        assert!(connection.feed(&upload, Bytes::from(vec![b'x'; 10_000])));
    }
    let response = connection.finish(upload).expect("a response");
    response.assert_error(401, "AuthenticationFailedException");
    assert_eq!(floods(&proxy), 0.0);
}

#[test]
fn an_incomplete_frame_after_a_request_ends_the_connection() {
    let proxy = Proxy::start_with(|setup| {
        setup.set("server.limits", "header_timeout", "\"1s\"");
    });
    let whole = head(&proxy);
    let body = frame(DATA, 1, 1, b"{}");
    for unfinished in [&whole[..5], &whole[..20]] {
        let mut connection = raw(&proxy);
        let bytes = [&whole, &body, unfinished].concat();
        connection.send(&bytes).unwrap();
        let start = Instant::now();
        connection.drain();
        assert!(start.elapsed() < SOON, "the idle timeout ended it");
    }
    let ended = [("reason", "header_timeout")];
    proxy.await_metric("xks_connections_closed_total", &ended, |count| count == 2.0);
}

#[test]
fn bytes_that_are_not_tls_get_an_alert_that_arrives() {
    let proxy = Proxy::start();
    for _ in 0..20 {
        let mut socket = crate::harness::http::tcp(proxy.server).unwrap();
        // More bytes than the proxy reads before it sends the alert. If the proxy did not read the rest, the kernel would reset the connection.
        socket.write_all(&[b'x'; 40_000]).unwrap();
        let mut received = Vec::new();
        socket.read_to_end(&mut received).expect("no reset");
        assert_eq!((received.first(), received.len()), (Some(&0x15), 7));
    }
}

#[test]
fn a_request_that_is_not_http_is_counted_and_logged() {
    let proxy = Proxy::start();
    let malformed = [("listener", "server"), ("reason", "malformed")];
    let twice = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n";
    let many = format!("POST / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(120));
    for (count, bytes) in [
        (1.0, "no request at all\r\n\r\n"),
        (2.0, twice),
        (3.0, &many),
    ] {
        let mut connection = proxy.connect();
        connection.send(bytes.as_bytes()).unwrap();
        connection.drain();
        proxy.await_metric("xks_connections_closed_total", &malformed, |n| n == count);
    }
    proxy
        .daemon
        .wait_for("the line about the first one", |line| {
            line["message"] == "connections closed because a request is not valid HTTP"
        });
}
