//! HTTP/2 under bad input: the caps, deadlines and signatures of HTTP/1.1 hold for every stream, and one stream does not harm
//! the others.

use bytes::Bytes;
use rustix::process::Signal;
use rustls::ALL_VERSIONS;

use crate::harness::h2::Http2;
use crate::harness::http::{Connection, Request};
use crate::harness::pki::tls_client;
use crate::harness::wire::encrypt_body;
use crate::harness::{Caller, PAYMENTS, Proxy};

/// How a client of HTTP/2 begins: the preface and empty SETTINGS.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

fn signed(payments: &Caller<'_>) -> Request {
    payments.request("encrypt", "orders", encrypt_body(b"x").to_string())
}

/// A connection that speaks HTTP/2 only as far as the test writes its bytes.
fn raw(proxy: &Proxy) -> Connection {
    let client = tls_client(proxy.setup.authority.der(), ALL_VERSIONS, None, &["h2"]);
    Connection::open(proxy.server, client).unwrap()
}

#[test]
fn the_authority_is_the_signed_host() {
    let proxy = Proxy::start();
    let (connection, payments) = (Http2::open(&proxy), proxy.caller(&PAYMENTS));
    let request = signed(&payments);
    connection.exchange(&request).expect("an answer").ok();
    let elsewhere = request.replacing("host", "xks.example.com");
    let response = connection.exchange(&elsewhere).expect("an answer");
    response.assert_error(401, "AuthenticationFailedException");
}

#[test]
fn streams_are_answered_side_by_side() {
    let proxy = Proxy::start();
    let (connection, payments) = (Http2::open(&proxy), proxy.caller(&PAYMENTS));
    let requests: Vec<Request> = (0..20).map(|_| signed(&payments)).collect();
    let started: Vec<_> = requests
        .iter()
        .map(|request| connection.start(request))
        .collect();
    // In the opposite order, so that none can wait for the one before it.
    for (pending, request) in started.into_iter().zip(&requests).rev() {
        assert!(connection.feed(&pending, Bytes::from(request.body.clone())));
        connection.finish(pending).expect("an answer").ok();
    }
    let handshakes = proxy.metric("xks_tls_handshakes_total", &[("outcome", "ok")]);
    assert_eq!(handshakes, Some(1.0));
}

#[test]
fn a_body_over_the_cap_is_unsupported_whether_or_not_it_says_so() {
    let proxy = Proxy::start();
    let (connection, payments) = (Http2::open(&proxy), proxy.caller(&PAYMENTS));
    let announced = signed(&payments).with("content-length", "65537");
    // Not a byte of the body is sent, so whoever waits for it waits for ever.
    let response = connection
        .answer(connection.start(&announced))
        .expect("an answer");
    response.assert_error(501, "UnsupportedOperationException");
    let silent = connection.start(&signed(&payments));
    for _ in 0..9 {
        connection.feed(&silent, Bytes::from(vec![b' '; 8 * 1024]));
    }
    let response = connection.answer(silent).expect("an answer");
    response.assert_error(501, "UnsupportedOperationException");
    connection
        .exchange(&signed(&payments))
        .expect("the connection is still good")
        .ok();
}

#[test]
fn three_hundred_megabytes_unauthenticated_leave_memory_flat() {
    let proxy = Proxy::start();
    let (connection, payments) = (Http2::open(&proxy), proxy.caller(&PAYMENTS));
    connection
        .exchange(&signed(&payments))
        .expect("an answer")
        .ok();
    let before = proxy.daemon.resident_kib();
    let (megabyte, mut most) = (Bytes::from(vec![b'x'; 1 << 20]), before);
    let flood = connection.start(&payments.unsigned("encrypt", "orders", ""));
    for _ in 0..300 {
        let taken = connection.feed(&flood, megabyte.clone());
        most = most.max(proxy.daemon.resident_kib());
        if !taken {
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
    proxy.caller(&PAYMENTS).encrypt("orders", b"still here");
}

#[test]
fn a_stream_that_stalls_is_ended_by_the_deadline_and_delays_no_other() {
    let proxy = Proxy::start_with(|setup| setup.set("server.limits", "request_timeout", "\"1s\""));
    let (connection, payments) = (Http2::open(&proxy), proxy.caller(&PAYMENTS));
    let stalled = connection.start(&signed(&payments));
    connection
        .exchange(&signed(&payments))
        .expect("an answer")
        .ok();
    if let Some(response) = connection.answer(stalled) {
        response.assert_error(400, "ValidationException");
    }
    connection
        .exchange(&signed(&payments))
        .expect("the connection is still good")
        .ok();
}

#[test]
fn a_client_that_says_nothing_or_not_enough_is_ended() {
    let proxy = Proxy::start_with(|setup| {
        setup.set("server.limits", "header_timeout", "\"1s\"");
        setup.set("server.limits", "idle_timeout", "\"2s\"");
    });
    // A HEADERS frame of 100 bytes is announced and never comes; it would open the first stream.
    let unfinished = [PREFACE, b"\0\0\x64\x01\x04\0\0\0\x01"].concat();
    for bytes in [b"".as_slice(), &PREFACE[..10], PREFACE, &unfinished] {
        let mut connection = raw(&proxy);
        connection.send(bytes).unwrap();
        connection.drain();
    }
}

#[test]
fn bytes_that_are_not_http2_get_no_more_than_its_own_goodbye() {
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
        let said = connection.drain();
        // Frames only: nothing that a person or a browser would take for a page.
        assert!(
            !said.windows(5).any(|window| window == b"HTTP/"),
            "{said:?}"
        );
    }
    proxy.caller(&PAYMENTS).health();
}

#[test]
fn streams_that_run_at_sigterm_are_answered() {
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
        connection.finish(pending).expect("an answer").ok();
    }
    assert_eq!(proxy.daemon.wait().code(), Some(0));
    assert!(!connection.is_open());
}
