//! HTTP/2 with wrong input: the limits, deadlines and signature checks of HTTP/1.1 apply to every stream, and one stream does not affect the others.

use bytes::Bytes;
use rustix::process::Signal;
use rustls::ALL_VERSIONS;

use crate::harness::h2::Http2;
use crate::harness::http::{Connection, Request};
use crate::harness::pki::tls_client;
use crate::harness::wire::encrypt_body;
use crate::harness::{Caller, PAYMENTS, Proxy};

/// The first bytes of an HTTP/2 client: the preface and empty SETTINGS.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

fn signed(payments: &Caller<'_>) -> Request {
    payments.request("encrypt", "orders", encrypt_body(b"x").to_string())
}

/// Opens a connection with ALPN h2 on which the test writes all bytes itself.
fn raw(proxy: &Proxy) -> Connection {
    let client = tls_client(proxy.setup.authority.der(), ALL_VERSIONS, None, &["h2"]);
    Connection::open(proxy.server, client).unwrap()
}

#[test]
fn the_authority_is_the_signed_host() {
    let proxy = Proxy::start();
    let (connection, payments) = (Http2::open(&proxy), proxy.caller(&PAYMENTS));
    let request = signed(&payments);
    connection.exchange(&request).expect("a response").ok();
    let elsewhere = request.replacing("host", "xks.example.com");
    let response = connection.exchange(&elsewhere).expect("a response");
    response.assert_error(401, "AuthenticationFailedException");
}

#[test]
fn streams_are_served_concurrently() {
    let proxy = Proxy::start();
    let (connection, payments) = (Http2::open(&proxy), proxy.caller(&PAYMENTS));
    let requests: Vec<Request> = (0..20).map(|_| signed(&payments)).collect();
    let started: Vec<_> = requests
        .iter()
        .map(|request| connection.start(request))
        .collect();
    // The bodies are sent in reverse order, so no stream can wait for a previous one.
    for (pending, request) in started.into_iter().zip(&requests).rev() {
        assert!(connection.feed(&pending, Bytes::from(request.body.clone())));
        connection.finish(pending).expect("a response").ok();
    }
    let handshakes = proxy.metric("xks_tls_handshakes_total", &[("outcome", "ok")]);
    assert_eq!(handshakes, Some(1.0));
}

#[test]
fn a_body_over_the_limit_is_unsupported_with_and_without_an_announced_length() {
    let proxy = Proxy::start();
    let (connection, payments) = (Http2::open(&proxy), proxy.caller(&PAYMENTS));
    let announced = signed(&payments).with("content-length", "65537");
    // No byte of the body is sent, so the response must not wait for the body.
    let response = connection
        .answer(connection.start(&announced))
        .expect("a response");
    response.assert_error(501, "UnsupportedOperationException");
    let unannounced = connection.start(&signed(&payments));
    for _ in 0..9 {
        connection.feed(&unannounced, Bytes::from(vec![b' '; 8 * 1024]));
    }
    let response = connection.answer(unannounced).expect("a response");
    response.assert_error(501, "UnsupportedOperationException");
    connection
        .exchange(&signed(&payments))
        .expect("a response on the same connection")
        .ok();
}

#[test]
fn three_hundred_unauthenticated_megabytes_do_not_grow_the_memory() {
    let proxy = Proxy::start();
    let (connection, payments) = (Http2::open(&proxy), proxy.caller(&PAYMENTS));
    connection
        .exchange(&signed(&payments))
        .expect("a response")
        .ok();
    let before = proxy.daemon.resident_kib();
    let (megabyte, mut most) = (Bytes::from(vec![b'x'; 1 << 20]), before);
    let flood = connection.start(&payments.unsigned("encrypt", "orders", ""));
    for _ in 0..300 {
        let is_accepted = connection.feed(&flood, megabyte.clone());
        most = most.max(proxy.daemon.resident_kib());
        if !is_accepted {
            break;
        }
    }
    if let Some(response) = connection.answer(flood) {
        response.assert_error(501, "UnsupportedOperationException");
    }
    assert!(
        most - before < 20 << 10,
        "the proxy grew by {} KiB",
        most - before
    );
    proxy.caller(&PAYMENTS).encrypt("orders", b"still served");
}

#[test]
fn a_stream_that_stalls_ends_at_the_deadline_and_does_not_delay_others() {
    let proxy = Proxy::start_with(|setup| setup.set("server.limits", "request_timeout", "\"1s\""));
    let (connection, payments) = (Http2::open(&proxy), proxy.caller(&PAYMENTS));
    let stalled = connection.start(&signed(&payments));
    connection
        .exchange(&signed(&payments))
        .expect("a response")
        .ok();
    if let Some(response) = connection.answer(stalled) {
        response.assert_error(400, "ValidationException");
    }
    connection
        .exchange(&signed(&payments))
        .expect("a response on the same connection")
        .ok();
}

#[test]
fn a_connection_without_a_complete_frame_is_closed() {
    let proxy = Proxy::start_with(|setup| {
        setup.set("server.limits", "header_timeout", "\"1s\"");
        setup.set("server.limits", "idle_timeout", "\"2s\"");
    });
    // A HEADERS frame of 100 bytes that would open the first stream, without its payload.
    let unfinished = [PREFACE, b"\0\0\x64\x01\x04\0\0\0\x01"].concat();
    for bytes in [b"".as_slice(), &PREFACE[..10], PREFACE, &unfinished] {
        let mut connection = raw(&proxy);
        connection.send(bytes).unwrap();
        connection.drain();
    }
}

#[test]
fn bytes_that_are_not_http2_get_http2_frames_only() {
    let proxy = Proxy::start();
    for bytes in [
        b"POST /payments/kms/xks/v1/health HTTP/1.1\r\nhost: localhost\r\n\r\n".to_vec(),
        vec![0xff; 4_096],
        [PREFACE, &[0xff; 4_096]].concat(),
        [PREFACE, b"\0\0\x05\x01\x05\0\0\0\x01\xff\xff\xff\xff\xff"].concat(),
        [PREFACE, b"\0\0\0\x09\x04\0\0\0\x01"].concat(),
    ] {
        let mut connection = raw(&proxy);
        let _ = connection.send(&bytes);
        connection.finish_sending();
        let received = connection.drain();
        assert!(
            !received.windows(5).any(|window| window == b"HTTP/"),
            "{received:?}"
        );
    }
    proxy.caller(&PAYMENTS).health();
}

#[test]
fn streams_in_progress_at_sigterm_are_finished() {
    let mut proxy = Proxy::start();
    let connection = Http2::open(&proxy);
    let requests: Vec<Request> = (0..5).map(|_| signed(&proxy.caller(&PAYMENTS))).collect();
    let started: Vec<_> = requests
        .iter()
        .map(|request| connection.start(request))
        .collect();
    proxy.await_metric("xks_unverified_requests", &[], |value| value == 5.0);
    proxy.daemon.signal(Signal::TERM);
    proxy.await_unready();
    for (pending, request) in started.into_iter().zip(&requests) {
        assert!(connection.feed(&pending, Bytes::from(request.body.clone())));
        connection.finish(pending).expect("a response").ok();
    }
    assert_eq!(proxy.daemon.wait().code(), Some(0));
    assert!(!connection.is_open());
}
