//! The admin listener: health checks of liveness and readiness, and metrics.

use crate::harness::http::plain;
use crate::harness::metrics::eventually;
use crate::harness::wire::{encrypt_body, plain_body};
use crate::harness::{PAYMENTS, Proxy};

#[test]
fn a_serving_proxy_is_live_and_ready() {
    let proxy = Proxy::start();
    assert_eq!(proxy.admin("/livez").status, 200);
    assert_eq!(proxy.admin("/readyz").status, 200);
}

#[test]
fn a_proxy_without_a_usable_hsm_is_live_but_not_ready() {
    let proxy = Proxy::launch(|setup| setup.set("hsm", "token", "{ label = \"no-such-token\" }"));
    assert_eq!(proxy.admin("/livez").status, 200);
    assert_eq!(proxy.admin("/readyz").status, 503);
    assert_eq!(
        proxy.metric("xks_hsm_usable", &[("hsm", "hsm-a")]),
        Some(0.0)
    );
}

#[test]
fn the_admin_listener_serves_nothing_else() {
    let proxy = Proxy::start();
    for path in [
        "/",
        "/health",
        "/livez/more",
        "/metrics/../livez",
        "/payments/kms/xks/v1/health",
    ] {
        assert_eq!(proxy.admin(path).status, 404, "{path}");
    }
    for method in ["POST", "PUT", "DELETE"] {
        assert_eq!(plain(proxy.admin, method, "/livez").status, 405, "{method}");
    }
}

#[test]
fn the_server_listener_has_no_health_checks_or_metrics() {
    let proxy = Proxy::start();
    let mut request = proxy
        .caller(&PAYMENTS)
        .unsigned("health", "", "")
        .method("GET");
    for path in ["/livez", "/readyz", "/metrics"] {
        path.clone_into(&mut request.target);
        proxy
            .send(&request)
            .assert_error(404, "InvalidUriPathException");
    }
}

#[test]
fn requests_are_counted_by_store_operation_and_outcome() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    payments.encrypt("orders", b"one");
    payments.encrypt("orders", b"two");
    payments
        .call("decrypt", "orders", &plain_body("metadata"))
        .assert_error(400, "ValidationException");
    payments
        .call("metadata", "absent", &plain_body("metadata"))
        .assert_error(404, "KeyNotFoundException");
    for (operation, outcome, count) in [
        ("encrypt", "ok", 2.0),
        ("decrypt", "ValidationException", 1.0),
        ("metadata", "KeyNotFoundException", 1.0),
    ] {
        let labels = [
            ("store", "payments"),
            ("operation", operation),
            ("outcome", outcome),
        ];
        proxy.await_metric("xks_requests_total", &labels, |value| value == count);
    }
    let labels = [("store", "payments"), ("operation", "encrypt")];
    assert_eq!(
        proxy.metric("xks_request_duration_seconds_count", &labels),
        Some(2.0)
    );
}

#[test]
fn histograms_have_buckets_from_100_microseconds_to_250_milliseconds() {
    let proxy = Proxy::start();
    proxy.caller(&PAYMENTS).encrypt("orders", b"x");
    for bound in ["0.0001", "0.25", "+Inf"] {
        let labels = [("operation", "encrypt"), ("le", bound)];
        let bucket = proxy.metric("xks_request_duration_seconds_bucket", &labels);
        assert!(bucket.is_some(), "no bucket {bound} in {}", proxy.metrics());
    }
}

#[test]
fn the_times_of_queue_and_device_are_measured_separately() {
    let proxy = Proxy::start();
    proxy.caller(&PAYMENTS).encrypt("orders", b"x");
    let hsm = ("hsm", "hsm-a");
    let device = [hsm, ("operation", "encrypt")];
    assert!(proxy.metric("xks_hsm_queue_seconds_count", &[hsm]).unwrap() >= 1.0);
    assert!(
        proxy
            .metric("xks_hsm_device_seconds_count", &device)
            .unwrap()
            >= 1.0
    );
    assert_eq!(proxy.metric("xks_hsm_usable", &[hsm]), Some(1.0));
    assert_eq!(proxy.metric("xks_hsm_queue_depth", &[hsm]), Some(0.0));
    eventually(
        "four sessions and the session of the health monitor",
        || {
            proxy
                .metric("xks_hsm_sessions", &[hsm])
                .filter(|count| *count == 5.0)
        },
    );
}

#[test]
fn metrics_show_certificate_build_connections_and_process() {
    let proxy = Proxy::start();
    let _open = proxy.connect();
    proxy.await_metric("xks_connections", &[], |value| value >= 1.0);
    // Certificates of rcgen are valid until the year 4096.
    assert!(
        proxy
            .metric("xks_tls_certificate_expiry_timestamp_seconds", &[])
            .unwrap()
            > 6e10
    );
    let build = [("version", env!("CARGO_PKG_VERSION"))];
    assert_eq!(proxy.metric("xks_build_info", &build), Some(1.0));
    assert_eq!(proxy.metric("xks_requests_in_flight", &[]), Some(0.0));
    assert!(proxy.metric("process_resident_memory_bytes", &[]).unwrap() > 0.0);
    assert!(proxy.metric("process_open_fds", &[]).unwrap() > 0.0);
}

#[test]
fn handshakes_are_counted_by_outcome() {
    let proxy = Proxy::start();
    let total = || {
        proxy
            .metric("xks_tls_handshakes_total", &[])
            .unwrap_or_default()
    };
    let before = total();
    drop(proxy.connect());
    eventually("a counted handshake", || (total() > before).then_some(()));
    let failed = total();
    let mut socket = crate::harness::http::tcp(proxy.server).unwrap();
    std::io::Write::write_all(&mut socket, b"GET / HTTP/1.1\r\n\r\n").unwrap();
    eventually("a counted failure", || (total() > failed).then_some(()));
    assert!(
        proxy
            .metrics()
            .lines()
            .filter(|line| line.starts_with("xks_tls_handshakes_total{"))
            .count()
            >= 2
    );
}

#[test]
fn label_values_come_from_the_configuration_and_not_from_clients() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    let before = proxy.metrics().lines().count();
    for number in 0..20 {
        let body = encrypt_body(b"x");
        payments
            .call("encrypt", &format!("made-up-{number}"), &body)
            .assert_error(404, "KeyNotFoundException");
        let mut request = payments.unsigned("health", "", "");
        request.target = format!("/made-up-{number}/kms/xks/v1/health");
        proxy
            .send(&request)
            .assert_error(404, "InvalidUriPathException");
    }
    let text = proxy.metrics();
    assert!(!text.contains("made-up"), "{text}");
    // New series: two outcomes of two operations with their histograms, but not one series for each name.
    assert!(text.lines().count() < before + 80, "{text}");
}
