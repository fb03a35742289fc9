//! Methods and paths (section 3 of the contract): they are checked before the signature, and never normalized into a valid path.

use crate::harness::http::Request;
use crate::harness::wire::plain_body;
use crate::harness::{Caller, PAYMENTS, Proxy};

/// Returns a request with a valid signature for another path. The paths of these tests are rejected before the signature is checked.
fn for_target(payments: &Caller<'_>, target: &str) -> Request {
    let mut request = payments.request("health", "", plain_body("health").to_string());
    target.clone_into(&mut request.target);
    request
}

#[test]
fn only_post_is_allowed() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    for operation in ["health", "metadata", "encrypt", "decrypt"] {
        for method in [
            "GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW", "post",
        ] {
            let request = payments.unsigned(operation, "orders", "").method(method);
            let response = proxy.send(&request);
            assert_eq!(response.status, 405, "{method} {operation}: {response:?}");
            assert_eq!(response.value("allow"), Some("POST"));
            assert!(response.json()["errorName"].is_string(), "{response:?}");
        }
    }
}

#[test]
fn head_is_not_allowed_and_has_no_body() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    let mut connection = proxy.connect();
    let head = payments.unsigned("health", "", "").method("HEAD");
    connection.send(&head.head()).unwrap();
    let response = connection.head_response().expect("a response");
    assert_eq!(
        (response.status, response.value("allow")),
        (405, Some("POST"))
    );
    // A body would be read as the beginning of the next response.
    connection
        .exchange(&payments.request("health", "", plain_body("health").to_string()))
        .ok();
}

#[test]
fn an_unknown_path_is_not_found_with_any_signature() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    for path in [
        "/",
        "/payments",
        "/payments/",
        "/payments/kms",
        "/payments/kms/xks/v1",
        "/payments/kms/xks/v1/",
        "/payments/kms/xks/v1/health/more",
        "/payments/kms/xks/v1/Health",
        "/payments/kms/xks/v2/health",
        "/payments/kms/xks/health",
        "/payments/kms/xks/v1/keys",
        "/payments/kms/xks/v1/keys/orders",
        "/payments/kms/xks/v1/keys/orders/Encrypt",
        "/payments/kms/xks/v1/keys/orders/delete",
        "/payments/kms/xks/v1/keys/orders/encrypt/more",
        "/payments/kms/xks/v1/orders/encrypt",
        "/favicon.ico",
    ] {
        assert_not_found(&payments, path);
    }
}

#[test]
fn a_prefix_that_no_store_has_is_not_found() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    for prefix in [
        "/nobody",
        "/PAYMENTS",
        "/payment",
        "/paymentss",
        "/payments/more",
        "/more/payments",
        "/tenants",
        "/tenants/eu_1",
        "/tenants/eu_1/retail-2/more",
    ] {
        assert_not_found(&payments, &format!("{prefix}/kms/xks/v1/health"));
        assert_not_found(
            &payments,
            &format!("{prefix}/kms/xks/v1/keys/orders/encrypt"),
        );
    }
}

#[test]
fn dots_encoded_slashes_doubled_slashes_and_trailing_slashes_are_not_found() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    for path in [
        "/payments/kms/xks/v1/health/",
        "/payments/kms/xks/v1/keys/orders/encrypt/",
        "//payments/kms/xks/v1/health",
        "/payments//kms/xks/v1/health",
        "/payments/kms/xks/v1//health",
        "/payments/kms/xks/v1/keys//encrypt",
        "/payments/kms/xks/v1/keys//orders/encrypt",
        "//kms/xks/v1/health",
        "/payments/../payments/kms/xks/v1/health",
        "/nobody/../payments/kms/xks/v1/health",
        "/payments/./kms/xks/v1/health",
        "/payments/kms/xks/v1/keys/../health",
        "/payments/kms/xks/v1/keys/../encrypt",
        "/payments/kms/xks/v1/keys/./encrypt",
        "/payments/kms/xks/v1/keys/orders/../ledger/encrypt",
        "/payments/%2e%2e/payments/kms/xks/v1/health",
        "/payments%2Fkms/xks/v1/health",
        "/payments/kms/xks/v1%2fhealth",
        "/payments/kms/xks/v1/keys/orders%2Fencrypt",
        "/payments/kms/xks/v1/keys/a%2F..%2Forders/encrypt",
        "/payments/kms/xks/v1/keys/%6frders/encrypt",
        "/payments/kms/xks/v1/keys/orders%00/encrypt",
        "/payments/kms/xks/v1/keys/orders%20/encrypt",
        "/payments/kms/xks/v1/keys/orders;v=1/encrypt",
        "/payments/kms/xks/v1/keys/orders,ledger/encrypt",
        "/payments/kms/xks/v1/keys/*/encrypt",
    ] {
        assert_not_found(&payments, path);
    }
}

#[test]
fn a_key_id_has_1_to_128_characters() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    for id in ["k".repeat(128), "A.b_c-9".into(), "...".into(), "-".into()] {
        let response = payments.call("metadata", &id, &plain_body("metadata"));
        response.assert_error(404, "KeyNotFoundException");
    }
    assert_not_found(&payments, &payments.path("metadata", &"k".repeat(129)));
    assert_not_found(&payments, &payments.path("metadata", &"k".repeat(5_000)));
}

#[test]
fn a_signature_is_rejected_for_the_path_of_another_store() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    for prefix in ["", "/closed", "/tenants/eu_1/retail-2"] {
        let elsewhere = Caller {
            prefix,
            signer: payments.signer.clone(),
            proxy: &proxy,
        };
        for operation in ["health", "metadata", "encrypt", "decrypt"] {
            let response = elsewhere.call(operation, "orders", &plain_body("metadata"));
            response.assert_error(401, "AuthenticationFailedException");
        }
    }
}

#[test]
fn targets_that_are_not_paths_get_json_or_a_close() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    for (method, target) in [
        ("OPTIONS", "*"),
        ("POST", "*"),
        ("CONNECT", "localhost:443"),
        ("POST", "payments/kms/xks/v1/health"),
        ("POST", "/payments\\kms/xks/v1/health"),
        ("POST", "/payments/kms/xks/v1/keys/ö/encrypt"),
        ("POST", "http://other.example.com/"),
        ("POST", "https://"),
        ("POST", "ftp://localhost/payments/kms/xks/v1/health"),
    ] {
        let request = for_target(&payments, target).method(method);
        let mut connection = proxy.connect();
        connection.send(&request.bytes()).unwrap();
        connection.next_error_response();
    }
    payments.health();
}

#[track_caller]
fn assert_not_found(payments: &Caller<'_>, path: &str) {
    let unsigned = for_target(payments, path).without("authorization");
    for request in [for_target(payments, path), unsigned] {
        let response = payments.proxy.send(&request);
        assert_eq!(response.status, 404, "{path}: {response:?}");
        response.assert_error(404, "InvalidUriPathException");
    }
}
