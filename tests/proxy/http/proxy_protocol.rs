//! PROXY protocol v2: KMS behind a Network Load Balancer, and other clients.

mod admin;
mod endpoints;
mod headers;
mod load;

use serde_json::Value;

use crate::harness::balancer::{BALANCER, Balancer, ENDPOINT, require, trust};
use crate::harness::h2::Http2;
use crate::harness::http::tcp;
use crate::harness::trail::Trail;
use crate::harness::wire::{decrypt_body, encrypt_body, plain_body};
use crate::harness::{PAYMENTS, Proxy};

/// Returns the number of connections with this result.
fn count(proxy: &Proxy, result: &str) -> f64 {
    let labels = [("result", result)];
    proxy.metric("xks_proxy_protocol_total", &labels).unwrap()
}

/// Waits until the number of connections with this result is `expected`.
#[track_caller]
fn await_count(proxy: &Proxy, result: &str, expected: f64) {
    let labels = [("result", result)];
    proxy.await_metric("xks_proxy_protocol_total", &labels, |n| n == expected);
}

fn is_from_balancer(line: &Value) -> bool {
    let peer = line["peer"].as_str().unwrap();
    peer.starts_with(&format!("{BALANCER}:"))
}

#[test]
fn kms_is_served_through_a_network_load_balancer() {
    let mut trail: Option<Trail> = None;
    let mut proxy = Proxy::start_with(|setup| {
        require(setup);
        trail = Some(setup.audit(""));
    });
    let balancer = Balancer::before(&mut proxy);
    let trail = trail.unwrap();
    let payments = proxy.caller(&PAYMENTS);
    balancer.say(Some(ENDPOINT), Some("10.20.30.40:51442"));
    let body = encrypt_body(b"x");
    let encrypted = payments.call("encrypt", "orders", &body).ok();
    for line in [proxy.access_line(&body), trail.request(&body)] {
        assert!(is_from_balancer(&line), "{line}");
        assert_eq!(line["client"], "10.20.30.40:51442");
        assert_eq!(line["vpc_endpoint"], ENDPOINT);
        assert!(
            line["vpc_endpoint_allowed"].is_null(),
            "no store has a list"
        );
    }
    balancer.say(None, Some("[2001:db8::1]:51442"));
    let body = decrypt_body(&encrypted);
    payments.call("decrypt", "orders", &body).ok();
    for line in [proxy.access_line(&body), trail.request(&body)] {
        assert_eq!(line["client"], "[2001:db8::1]:51442");
        assert!(line["vpc_endpoint"].is_null());
    }
    assert_eq!(count(&proxy, "ok"), 2.0);
    trail.assert_chain();
}

#[test]
fn http2_keeps_the_client_of_its_connection_for_every_request() {
    let mut proxy = Proxy::start_with(require);
    let _balancer = Balancer::before(&mut proxy);
    let connection = Http2::open(&proxy);
    for _ in 0..3 {
        let body = plain_body("health");
        let payments = proxy.caller(&PAYMENTS);
        let request = payments.request("health", "", body.to_string());
        connection.exchange(&request).unwrap().ok();
        assert_eq!(proxy.access_line(&body)["vpc_endpoint"], ENDPOINT);
    }
    assert_eq!(count(&proxy, "ok"), 1.0);
}

#[test]
fn a_header_is_accepted_exactly_by_the_listeners_that_require_it() {
    let listen = "[\"127.0.0.1:0\", { address = \"127.0.0.1:0\", proxy_protocol = \"required\" }]";
    let mut proxy = Proxy::start_with(|setup| {
        require(setup);
        setup.set("server", "listen", listen);
    });
    let body = plain_body("health");
    proxy.caller(&PAYMENTS).call("health", "", &body).ok();
    assert!(proxy.access_line(&body)["client"].is_null());
    let listening = |line: &Value| line["message"] == "listening" && line["listener"] == "server";
    let plain = proxy.server.to_string();
    let other = proxy.daemon.wait_for("the second listener", |line| {
        listening(line) && line["address"] != plain.as_str()
    });
    let other = other["address"].as_str().unwrap().parse().unwrap();
    let on_plain = Balancer::start(proxy.server);
    proxy.server = on_plain.address;
    assert!(proxy.try_connect().is_err(), "a header is not TLS");
    proxy.server = Balancer::start(other).address;
    proxy.caller(&PAYMENTS).health();
    proxy.server = other;
    assert!(proxy.try_connect().is_err(), "an untrusted peer");
}

#[test]
fn health_checks_of_the_balancer_are_not_failures() {
    let mut proxy = Proxy::start_with(require);
    let balancer = Balancer::before(&mut proxy);
    for _ in 0..3 {
        balancer.check();
        balancer.check_silently();
    }
    // A client that disconnects before it sends anything is not a failure either.
    drop(tcp(balancer.address).unwrap());
    await_count(&proxy, "local", 3.0);
    await_count(&proxy, "empty", 4.0);
    for result in ["ok", "untrusted", "malformed", "crc", "timeout"] {
        assert_eq!(count(&proxy, result), 0.0, "{result}");
    }
    for outcome in ["failed", "timeout"] {
        let labels = [("outcome", outcome)];
        let failures = proxy.metric("xks_tls_handshakes_total", &labels);
        assert_eq!(failures.unwrap_or_default(), 0.0, "{outcome}");
    }
    let closed = proxy.metric(
        "xks_connections_closed_total",
        &[
            ("listener", "server"),
            ("reason", "proxy_protocol"),
            ("source", "unknown"),
        ],
    );
    assert_eq!(closed, Some(0.0));
    let is_warning = |line: &String| line.contains("\"WARN\"") && line.contains("PROXY");
    assert!(!proxy.daemon.log().iter().any(is_warning));
    proxy.caller(&PAYMENTS).health();
}

#[test]
fn trusted_sources_change_by_reload() {
    let mut proxy = Proxy::start_with(require);
    let _balancer = Balancer::before(&mut proxy);
    proxy.caller(&PAYMENTS).health();
    proxy.reconfigure(|setup| trust(setup, "127.0.0.16/28"));
    assert!(proxy.try_connect().is_err());
    await_count(&proxy, "untrusted", 1.0);
    let setting = "server.proxy_protocol_trusted_sources";
    assert!(proxy.has_changed(setting, "changed"));
    proxy.daemon.wait_for("a line about the peer", |line| {
        line["message"] == "connections closed because of their PROXY header"
            && line["reason"] == "the peer is not in server.proxy_protocol_trusted_sources"
    });
    proxy.reconfigure(|setup| trust(setup, "127.0.0.0/28"));
    proxy.caller(&PAYMENTS).health();
}
