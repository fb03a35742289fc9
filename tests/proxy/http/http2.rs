//! HTTP/2, selected with ALPN: the responses are the same as over HTTP/1.1. The client is curl.

use crate::harness::tools::curl;
use crate::harness::wire::{base64, encrypt_body, plain_body, set};
use crate::harness::{PAYMENTS, Proxy};

const ENCRYPT: &str = "/payments/kms/xks/v1/keys/orders/encrypt";

#[test]
fn requests_are_served_over_the_offered_version() {
    let proxy = Proxy::start();
    let body = plain_body("health").to_string();
    for (option, version) in [("--http2", "2"), ("--http1.1", "1.1"), ("--no-alpn", "1.1")] {
        let path = "/payments/kms/xks/v1/health";
        let response = curl(&proxy, &PAYMENTS, path, &body, &[option]);
        assert_eq!(
            (response.status, response.version.as_str()),
            (200, version),
            "{option}"
        );
    }
}

#[test]
fn errors_are_the_same_json() {
    let proxy = Proxy::start();
    let body = encrypt_body(b"x").to_string();
    let error = |path: &str, body: &str, options: &[&str]| {
        let response = curl(
            &proxy,
            &PAYMENTS,
            path,
            body,
            &[&["--http2"], options].concat(),
        );
        assert_eq!(response.version, "2");
        (
            response.status,
            response.json()["errorName"].as_str().unwrap().to_owned(),
        )
    };
    let expect = |status: u16, name: &str| (status, name.to_owned());
    let not_found = expect(404, "InvalidUriPathException");
    assert_eq!(error("/nope", &body, &[]), not_found);
    assert_eq!(
        error("/payments/kms/xks/v1/keys/orders/encrypt/", &body, &[]),
        not_found
    );
    let method = error(ENCRYPT, &body, &["--request", "PUT"]);
    assert_eq!(method, expect(405, "ValidationException"));
    let wrong_secret = error(ENCRYPT, &body, &["--user", "XKSPAYMENTSKEYAAAAAA:wrong"]);
    assert_eq!(wrong_secret, expect(401, "AuthenticationFailedException"));
    assert_eq!(error(ENCRYPT, "{", &[]), expect(400, "ValidationException"));
    let long = set(&encrypt_body(b""), "plaintext", base64(vec![0; 50_000]));
    let too_long = error(ENCRYPT, &long.to_string(), &[]);
    assert_eq!(too_long, expect(501, "UnsupportedOperationException"));
}

#[test]
fn many_requests_share_a_connection() {
    let proxy = Proxy::start();
    let body = plain_body("health").to_string();
    let path = "/payments/kms/xks/v1/health";
    let url = format!("https://{}{path}", proxy.host());
    // 24 more requests to the same URL in parallel. Over HTTP/2 they share one connection.
    let more: Vec<&str> = std::iter::repeat_n(url.as_str(), 24).collect();
    let options = [
        &["--http2", "--parallel", "--parallel-max", "25"],
        more.as_slice(),
    ]
    .concat();
    let response = curl(&proxy, &PAYMENTS, path, &body, &options);
    assert_eq!(response.version, "2");
    proxy.await_metric(
        "xks_requests_total",
        &[("operation", "health"), ("outcome", "ok")],
        |n| n == 25.0,
    );
    let handshakes = proxy.metric("xks_tls_handshakes_total", &[("outcome", "ok")]);
    assert!(
        handshakes.unwrap() < 25.0,
        "{handshakes:?} handshakes for 25 requests"
    );
}
