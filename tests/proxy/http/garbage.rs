//! Bytes that are not valid HTTP requests: the proxy sends its JSON error or closes the connection.

use crate::harness::http::Request;
use crate::harness::wire::plain_body;
use crate::harness::{PAYMENTS, Proxy};

#[track_caller]
fn assert_rejected(proxy: &Proxy, bytes: &[u8]) {
    let mut connection = proxy.connect();
    // The proxy may close before it has read all bytes.
    let _ = connection.send(bytes);
    connection.finish_sending();
    while connection.next_error_response().is_some() {}
}

#[test]
fn bytes_that_are_not_http_get_json_or_a_close() {
    let proxy = Proxy::start();
    for bytes in [
        b"\r\n\r\n\r\n".to_vec(),
        b"HELO example.com\r\n\r\n".to_vec(),
        b"GET\r\n\r\n".to_vec(),
        b"GET /\r\n\r\n".to_vec(),
        b"POST / HTTP/9.9\r\n\r\n".to_vec(),
        b"POST / HTTP/1.1 surplus\r\nhost: localhost\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x00\x05hello".to_vec(),
        b"\x00\x01\x02\x03\x04\x05\x06\x07\r\n\r\n".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        b"{\"requestMetadata\": {}}\r\n\r\n".to_vec(),
        vec![0xff; 4_096],
        vec![b'A'; 1 << 20],
    ] {
        assert_rejected(&proxy, &bytes);
    }
    proxy.caller(&PAYMENTS).health();
}

#[test]
fn header_fields_that_are_malformed_or_too_many_get_json_or_a_close() {
    let proxy = Proxy::start();
    let line = b"POST /payments/kms/xks/v1/health HTTP/1.1\r\nhost: localhost\r\n".as_slice();
    for fields in [
        b"no colon here\r\n\r\n".to_vec(),
        b": no name\r\n\r\n".to_vec(),
        b"na me: x\r\n\r\n".to_vec(),
        b"name : x\r\n\r\n".to_vec(),
        b"name: a\x00b\r\n\r\n".to_vec(),
        b"name: a\r\n folded\r\n\r\n".to_vec(),
        b"n\xc3\xa4me: x\r\n\r\n".to_vec(),
        "x: y\r\n".repeat(5_000).into_bytes(),
        format!("{}: y\r\n\r\n", "n".repeat(100_000)).into_bytes(),
        format!("x: {}\r\n\r\n", "v".repeat(2 << 20)).into_bytes(),
    ] {
        assert_rejected(&proxy, &[line, &fields].concat());
    }
    proxy.caller(&PAYMENTS).health();
}

#[test]
fn a_request_line_that_is_too_long_gets_json_or_a_close() {
    let proxy = Proxy::start();
    for length in [257, 9_000, 70_000, 2 << 20] {
        let target = format!("/payments/{}", "a".repeat(length));
        let line =
            format!("POST {target} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n");
        assert_rejected(&proxy, line.as_bytes());
    }
    proxy.caller(&PAYMENTS).health();
}

#[test]
fn a_request_without_a_host_or_with_two_is_rejected() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    let signed = payments.request("health", "", plain_body("health").to_string());
    for request in [
        signed.clone().without("host"),
        signed.clone().with("host", signed.value("host")),
        signed.clone().with("host", "other.example.com"),
        signed.replacing("host", ""),
    ] {
        assert_rejected(&proxy, &request.bytes());
    }
}

#[test]
fn http_1_0_without_keep_alive_is_served() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    let signed: Request = payments.request("health", "", plain_body("health").to_string());
    let bytes = signed.bytes();
    let text = String::from_utf8(bytes)
        .unwrap()
        .replacen("HTTP/1.1", "HTTP/1.0", 1);
    let mut connection = proxy.connect();
    connection.send(text.as_bytes()).unwrap();
    connection.response().expect("a response").ok();
    connection.assert_closes();
}

#[test]
fn requests_may_be_pipelined() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    let mut connection = proxy.connect();
    let requests: Vec<u8> = (0..5)
        .flat_map(|_| {
            payments
                .request("health", "", plain_body("health").to_string())
                .bytes()
        })
        .collect();
    connection.send(&requests).unwrap();
    for _ in 0..5 {
        connection.response().expect("a response").ok();
    }
}
