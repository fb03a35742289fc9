//! The framing and the length of bodies: the limit is checked before bytes are buffered, and a wrong length has no advantage for the client.

use crate::harness::http::{Connection, Request};
use crate::harness::wire::encrypt_body;
use crate::harness::{Caller, PAYMENTS, Proxy};

const MAX_BODY: usize = 64 * 1024;

/// Returns a valid body of an Encrypt request with exactly this length in bytes.
fn encrypt_body_with_length(length: usize) -> Vec<u8> {
    let body = encrypt_body(b"x").to_string();
    let padding = length - body.len() - "\"padding\":\"\",".len();
    let padding = format!("{{\"padding\":\"{}\",", "p".repeat(padding));
    let body = body.replacen('{', &padding, 1).into_bytes();
    assert_eq!(body.len(), length);
    body
}

/// Returns the body in chunks of this size, with the last chunk.
fn chunked(body: &[u8], size: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for chunk in body.chunks(size) {
        bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

/// Returns a signed Encrypt request and a new connection.
fn signed<'a>(payments: &Caller<'a>, body: impl Into<Vec<u8>>) -> (Request, Connection) {
    (
        payments.request("encrypt", "orders", body),
        payments.proxy.connect(),
    )
}

#[test]
fn a_body_of_64_kib_is_served_and_one_more_byte_is_unsupported() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    payments
        .send("encrypt", "orders", encrypt_body_with_length(MAX_BODY))
        .ok();
    let response = payments.send("encrypt", "orders", encrypt_body_with_length(MAX_BODY + 1));
    response.assert_error(501, "UnsupportedOperationException");
}

#[test]
fn a_body_over_the_limit_is_rejected_before_it_is_read() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    for length in [MAX_BODY + 1, 300 << 20, usize::MAX >> 1] {
        let (request, mut connection) = signed(&payments, "");
        // Only the head is sent, so the response must not wait for the body.
        connection
            .send(&request.with("content-length", &length.to_string()).head())
            .unwrap();
        let response = connection.response().expect("a response");
        response.assert_error(501, "UnsupportedOperationException");
    }
}

#[test]
fn a_chunked_body_is_served() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    let body = encrypt_body(b"x").to_string().into_bytes();
    for size in [1, 7, body.len()] {
        let (request, mut connection) = signed(&payments, body.clone());
        connection
            .send(&request.with("transfer-encoding", "chunked").head())
            .unwrap();
        connection.send(&chunked(&body, size)).unwrap();
        connection.response().unwrap().ok();
        // The connection accepts another request.
        connection
            .exchange(&payments.request("encrypt", "orders", encrypt_body(b"y").to_string()))
            .ok();
    }
}

#[test]
fn a_chunked_body_over_the_limit_is_unsupported() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    let body = encrypt_body_with_length(MAX_BODY + 1);
    let (request, mut connection) = signed(&payments, body.clone());
    connection
        .send(&request.with("transfer-encoding", "chunked").head())
        .unwrap();
    // The last chunk is not sent: the limit applies as soon as it is exceeded, not at the end.
    let bytes = chunked(&body, 8 * 1024);
    connection
        .send(&bytes[..bytes.len() - "0\r\n\r\n".len()])
        .unwrap();
    connection
        .response()
        .expect("a response")
        .assert_error(501, "UnsupportedOperationException");
}

#[test]
fn malformed_chunks_get_an_error_or_a_close() {
    let proxy = Proxy::start_with(|setup| setup.set("server.limits", "request_timeout", "\"1s\""));
    let payments = proxy.caller(&PAYMENTS);
    for bytes in [
        "zz\r\n",
        "-1\r\nx\r\n",
        "ffffffffffffffffffff\r\n",
        "1\r\nxx\r\n0\r\n\r\n",
        "5\r\nab",
        "\r\n\r\n\r\n",
    ] {
        let (request, mut connection) = signed(&payments, "");
        connection
            .send(&request.with("transfer-encoding", "chunked").head())
            .unwrap();
        connection.send(bytes.as_bytes()).unwrap();
        connection.next_error_response();
    }
    payments.encrypt("orders", b"still served");
}

#[test]
fn expect_100_continue_gets_a_response_before_the_body() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    let (request, mut connection) = signed(&payments, encrypt_body(b"x").to_string());
    let length = request.body.len().to_string();
    let head = request
        .clone()
        .with("expect", "100-continue")
        .with("content-length", &length);
    connection.send(&head.head()).unwrap();
    assert_eq!(
        connection.response().expect("an interim response").status,
        100
    );
    connection.send(&request.body).unwrap();
    connection.response().expect("a response").ok();
}

#[test]
fn a_body_over_the_limit_gets_no_100_continue() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    let (request, mut connection) = signed(&payments, "");
    let length = (MAX_BODY + 1).to_string();
    let head = request
        .with("expect", "100-continue")
        .with("content-length", &length);
    connection.send(&head.head()).unwrap();
    let response = connection.response().expect("a response");
    response.assert_error(501, "UnsupportedOperationException");
}

#[test]
fn a_content_length_that_is_too_small_breaks_the_signature() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    let body = encrypt_body(b"x").to_string();
    // The signature covers the whole body, but the proxy reads only a part.
    let (request, mut connection) = signed(&payments, body.clone());
    let half = (body.len() / 2).to_string();
    connection
        .send(&request.clone().with("content-length", &half).head())
        .unwrap();
    connection.send(&request.body).unwrap();
    connection
        .response()
        .expect("a response")
        .assert_error(401, "AuthenticationFailedException");
    while connection.next_error_response().is_some() {}
    // The signature covers the part that the proxy reads. The bytes after it are not HTTP.
    let (request, mut connection) = signed(&payments, body);
    connection
        .send(&[request.bytes(), b"{\"surplus\": 1}\r\n\r\n".to_vec()].concat())
        .unwrap();
    connection.response().expect("a response").ok();
    while connection.next_error_response().is_some() {}
}

#[test]
fn a_content_length_that_is_too_large_is_rejected_at_the_deadline() {
    let proxy = Proxy::start_with(|setup| setup.set("server.limits", "request_timeout", "\"1s\""));
    let payments = proxy.caller(&PAYMENTS);
    for hang_up in [false, true] {
        let (request, mut connection) = signed(&payments, encrypt_body(b"x").to_string());
        let length = (request.body.len() + 1).to_string();
        connection
            .send(&request.clone().with("content-length", &length).head())
            .unwrap();
        connection.send(&request.body).unwrap();
        if hang_up {
            connection.finish_sending();
        }
        if let Some(response) = connection.next_error_response() {
            response.assert_error(400, "ValidationException");
        }
    }
    payments.encrypt("orders", b"still served");
}

#[test]
fn wrong_or_contradictory_lengths_get_an_error_or_a_close() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    let body = encrypt_body(b"x").to_string();
    let length = body.len().to_string();
    for fields in [
        &[("content-length", length.as_str()), ("content-length", "1")][..],
        &[("content-length", "-1")],
        &[("content-length", "x")],
        &[("content-length", "+5")],
        &[("content-length", "99999999999999999999999999")],
        &[("transfer-encoding", "gzip")],
        &[("transfer-encoding", "chunked, identity")],
    ] {
        let (mut request, mut connection) = signed(&payments, body.clone());
        for (name, value) in fields {
            request = request.with(name, value);
        }
        connection.send(&request.head()).unwrap();
        let _ = connection.send(&request.body);
        connection.next_error_response();
    }
    payments.encrypt("orders", b"still served");
}

#[test]
fn a_chunked_body_with_a_content_length_is_not_framed_by_the_length() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    let (request, mut connection) = signed(&payments, encrypt_body(b"x").to_string());
    let head = request
        .clone()
        .with("content-length", "4")
        .with("transfer-encoding", "chunked");
    connection.send(&head.head()).unwrap();
    connection.send(&chunked(&request.body, 64)).unwrap();
    // RFC 9112 section 6.3: the request is rejected or framed by its chunks, never by the length.
    if let Some(response) = connection
        .response()
        .filter(|response| response.status != 200)
    {
        response.assert_error(400, "ValidationException");
    }
}

/// Sends up to 300 MB after the head of a request. Returns by how many KiB the proxy grew.
fn flood(proxy: &Proxy, head: &[u8], unit: &[u8]) -> u64 {
    let before = proxy.daemon.resident_kib();
    let mut most = before;
    let mut connection = proxy.connect();
    connection.send(head).unwrap();
    for _ in 0..(300 << 20) / unit.len() {
        let is_closed = connection.send(unit).is_err();
        most = most.max(proxy.daemon.resident_kib());
        if is_closed {
            break;
        }
    }
    // The response may be lost when the proxy closes a connection on which the client still sends.
    if let Ok(Some(response)) = connection.try_response() {
        response.assert_error(501, "UnsupportedOperationException");
    }
    most - before
}

#[test]
fn three_hundred_unauthenticated_megabytes_do_not_grow_the_memory() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    payments.encrypt("orders", b"warm");
    let request = payments.unsigned("encrypt", "orders", "");
    let sized = request
        .clone()
        .with("content-length", &(300 << 20).to_string());
    let chunks = request.with("transfer-encoding", "chunked");
    let megabyte = vec![b'x'; 1 << 20];
    let unit = [b"100000\r\n".as_slice(), &megabyte, b"\r\n"].concat();
    for (head, unit) in [(sized.head(), &megabyte), (chunks.head(), &unit)] {
        let growth = flood(&proxy, &head, unit);
        assert!(growth < 20 << 10, "the proxy grew by {growth} KiB");
    }
    payments.encrypt("orders", b"still served");
}
