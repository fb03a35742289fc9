//! The parts that a signature covers (section 7 of the contract): host, signed fields, path, query and the body as received.

use crate::harness::http::Request;
use crate::harness::sign::canonical_request;
use crate::harness::wire::plain_body;
use crate::harness::{Caller, PAYMENTS, Proxy};

const FIELDS: [&str; 3] = ["content-type", "host", "x-amz-date"];

fn metadata(caller: &Caller<'_>) -> Request {
    caller.unsigned("metadata", "orders", plain_body("metadata").to_string())
}

#[track_caller]
fn assert_rejected(proxy: &Proxy, request: &Request) {
    let response = proxy.send(request);
    assert_eq!(response.status, 401, "{request:?}: {response:?}");
    response.assert_error(401, "AuthenticationFailedException");
}

#[test]
fn the_host_must_be_signed() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    let without_host = ["content-type", "x-amz-date"];
    assert_rejected(
        &proxy,
        &payments
            .signer
            .sign_fields(&metadata(&payments), &without_host),
    );
    let signed = payments.signer.sign(&metadata(&payments));
    assert_rejected(&proxy, &signed.replacing("host", "xks.example.com"));
}

#[test]
fn a_signed_field_that_is_missing_changed_or_repeated_is_rejected() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    let signed = payments
        .signer
        .sign(&metadata(&payments).with("x-signed", "one"));
    proxy.send(&signed).ok();
    assert_rejected(&proxy, &signed.clone().without("x-signed"));
    assert_rejected(&proxy, &signed.clone().replacing("x-signed", "two"));
    assert_rejected(&proxy, &signed.clone().with("x-signed", "one"));
    assert_rejected(
        &proxy,
        &signed
            .clone()
            .with("authorization", signed.value("authorization")),
    );
    // A name may not be repeated in SignedHeaders.
    let names = ["content-type", "host", "host", "x-amz-date"];
    assert_rejected(
        &proxy,
        &payments.signer.sign_fields(&metadata(&payments), &names),
    );
    let absent = ["content-type", "host", "x-absent", "x-amz-date"];
    assert_rejected(
        &proxy,
        &payments.signer.sign_fields(&metadata(&payments), &absent),
    );
    // An unsigned field may be repeated, because a proxy between KMS and this proxy may have added it.
    proxy
        .send(&signed.with("x-hop", "1").with("x-hop", "2"))
        .ok();
}

#[test]
fn a_changed_body_path_or_query_is_rejected() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    let signed = payments.signer.sign(&metadata(&payments));
    let body = String::from_utf8(signed.body.clone()).unwrap();
    for changed in [
        body.replace("Alice", "Mallory"),
        format!("{body} "),
        String::new(),
    ] {
        assert_rejected(
            &proxy,
            &Request {
                body: changed.into_bytes(),
                ..signed.clone()
            },
        );
    }
    let other_path = payments.path("metadata", "ledger");
    assert_rejected(
        &proxy,
        &Request {
            target: other_path,
            ..signed.clone()
        },
    );
    let other_operation = payments.path("encrypt", "orders");
    assert_rejected(
        &proxy,
        &Request {
            target: other_operation,
            ..signed.clone()
        },
    );
    let query = format!("{}?a=b", signed.target);
    assert_rejected(
        &proxy,
        &Request {
            target: query,
            ..signed
        },
    );
}

#[test]
fn a_query_string_is_part_of_the_signature() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    let mut request = metadata(&payments);
    request.target.push_str("?a=1&b=2");
    let signed = payments.signer.sign(&request);
    proxy.send(&signed).ok();
    assert_rejected(
        &proxy,
        &Request {
            target: request.target.replace("b=2", "b=3"),
            ..signed
        },
    );
}

#[test]
fn a_signature_in_the_query_string_is_not_accepted() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    let signer = &payments.signer;
    let mut request = metadata(&payments);
    let (id, date) = (&signer.access_key_id, signer.date());
    let credential = format!("{id}%2F{date}%2Feu-west-1%2Fkms-xks-proxy%2Faws4_request");
    request.target += &format!("?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={credential}");
    request.target += &format!(
        "&X-Amz-Date={}&X-Amz-SignedHeaders=content-type%3Bhost",
        signer.date_time()
    );
    let authorization = signer.authorization(&request, &["content-type", "host"]);
    let signature = authorization.rsplit('=').next().unwrap();
    request.target += &format!("&X-Amz-Signature={signature}");
    assert_rejected(&proxy, &request);
}

#[test]
fn the_payload_must_be_signed_even_if_it_is_declared_as_unsigned() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    let names = ["content-type", "host", "x-amz-content-sha256", "x-amz-date"];
    for payload in ["UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"] {
        let request = metadata(&payments)
            .with("x-amz-date", &payments.signer.date_time())
            .with("x-amz-content-sha256", payload);
        let canonical = canonical_request(&request, &names, payload);
        let authorization = payments.signer.authorization_of(&canonical, &names);
        assert_rejected(&proxy, &request.with("authorization", &authorization));
    }
}

#[test]
fn optional_blanks_and_fields_are_accepted() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    for names in [&["host", "x-amz-date"][..], &FIELDS] {
        let signed = payments.signer.sign_fields(&metadata(&payments), names);
        let authorization = signed.value("authorization").to_owned();
        proxy.send(&signed).ok();
        proxy
            .send(
                &signed
                    .clone()
                    .replacing("authorization", &authorization.replace(", ", ",")),
            )
            .ok();
    }
    let padded = metadata(&payments).with("x-padded", "  a   b  ");
    proxy.send(&payments.signer.sign(&padded)).ok();
}
