//! HTTP/2, offered by ALPN: the same answers as over HTTP/1.1. curl is the client.

use crate::harness::tools::curl;
use crate::harness::wire::{base64, encrypt_body, plain_body, set};
use crate::harness::{PAYMENTS, Proxy};

const ENCRYPT: &str = "/payments/kms/xks/v1/keys/orders/encrypt";

#[test]
fn requests_are_answered_in_the_offered_version() {
    let proxy = Proxy::start();
    let body = plain_body("health").to_string();
    for (option, version) in [("--http2", "2"), ("--http1.1", "1.1"), ("--no-alpn", "1.1")] {
        let path = "/payments/kms/xks/v1/health";
        let answer = curl(&proxy, &PAYMENTS, path, &body, &[option]);
        assert_eq!(
            (answer.status, answer.version.as_str()),
            (200, version),
            "{option}"
        );
    }
}

#[test]
fn refusals_are_the_same_json() {
    let proxy = Proxy::start();
    let body = encrypt_body(b"x").to_string();
    let refused = |path: &str, body: &str, options: &[&str]| {
        let answer = curl(
            &proxy,
            &PAYMENTS,
            path,
            body,
            &[&["--http2"], options].concat(),
        );
        assert_eq!(answer.version, "2");
        (
            answer.status,
            answer.json()["errorName"].as_str().unwrap().to_owned(),
        )
    };
    let expect = |status: u16, name: &str| (status, name.to_owned());
    let not_found = expect(404, "InvalidUriPathException");
    assert_eq!(refused("/nope", &body, &[]), not_found);
    assert_eq!(
        refused("/payments/kms/xks/v1/keys/orders/encrypt/", &body, &[]),
        not_found
    );
    let method = refused(ENCRYPT, &body, &["--request", "PUT"]);
    assert_eq!(method, expect(405, "ValidationException"));
    let signed_otherwise = refused(ENCRYPT, &body, &["--user", "XKSPAYMENTSKEYAAAAAA:wrong"]);
    assert_eq!(
        signed_otherwise,
        expect(401, "AuthenticationFailedException")
    );
    assert_eq!(
        refused(ENCRYPT, "{", &[]),
        expect(400, "ValidationException")
    );
    let long = set(&encrypt_body(b""), "plaintext", base64(vec![0; 50_000]));
    let too_long = refused(ENCRYPT, &long.to_string(), &[]);
    assert_eq!(too_long, expect(501, "UnsupportedOperationException"));
}

#[test]
fn many_requests_share_a_connection() {
    let proxy = Proxy::start();
    let body = plain_body("health").to_string();
    let path = "/payments/kms/xks/v1/health";
    let url = format!("https://{}{path}", proxy.host());
    // Two dozen more of the same URL, at once, over the one connection that HTTP/2 needs.
    let more: Vec<&str> = std::iter::repeat_n(url.as_str(), 24).collect();
    let options = [
        &["--http2", "--parallel", "--parallel-max", "25"],
        more.as_slice(),
    ]
    .concat();
    let answer = curl(&proxy, &PAYMENTS, path, &body, &options);
    assert_eq!(answer.version, "2");
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
