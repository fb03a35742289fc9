//! The admin listener behind a load balancer that checks `/readyz`.

use std::io::{Read as _, Write as _};

use super::{await_count, count};
use crate::harness::Proxy;
use crate::harness::balancer::{BALANCER, Balancer, closed, header, local, require, trust};
use crate::harness::http::plain;

const READY: &[u8] = b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

/// An admin listener without PROXY protocol for the test itself, and one that requires it.
const BOTH: &str =
    "[\"127.0.0.1:0\", { address = \"127.0.0.1:0\", proxy_protocol = \"required\" }]";

/// Starts a balancer before the second admin listener.
fn second(proxy: &Proxy) -> Balancer {
    let first = proxy.admin.to_string();
    let line = proxy.daemon.wait_for("the second admin listener", |line| {
        line["message"] == "listening"
            && line["listener"] == "admin"
            && line["address"] != first.as_str()
    });
    Balancer::start(line["address"].as_str().unwrap().parse().unwrap())
}

#[test]
fn the_admin_listener_serves_requests_after_a_header() {
    let proxy = Proxy::start_with(|setup| {
        trust(setup, &format!("{BALANCER}/32"));
        setup.set("admin", "listen", BOTH);
    });
    let balancer = second(&proxy);
    let client = "10.20.30.40:51442".parse().unwrap();
    let client_header = header(client, balancer.target, &[]);
    for header in [&local(), &client_header] {
        let mut socket = balancer.send(&[&header[..], READY].concat());
        let mut response = String::new();
        socket.read_to_string(&mut response).unwrap();
        assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
    }
    await_count(&proxy, "local", 1.0);
    await_count(&proxy, "ok", 1.0);
    balancer.check();
    balancer.check_silently();
    await_count(&proxy, "local", 2.0);
    await_count(&proxy, "empty", 1.0);
    // A second header, TLS, and no header at all.
    let twice = [&client_header[..], &client_header, READY].concat();
    let tls = [&client_header[..], &[0x16, 3, 1]].concat();
    for (n, bytes) in (1..).zip([twice, tls, READY.to_vec()]) {
        assert_eq!(closed(balancer.send(&bytes)), b"");
        await_count(&proxy, "malformed", f64::from(n));
    }
    let mut direct = crate::harness::http::tcp(balancer.target).unwrap();
    let _ = direct.write_all(&[&client_header[..], READY].concat());
    assert_eq!(closed(direct), b"", "the peer is not trusted");
    await_count(&proxy, "untrusted", 1.0);
    assert_eq!(plain(proxy.admin, "GET", "/readyz").status, 200);
}

#[test]
fn slow_clients_of_the_balancer_do_not_block_health_checks() {
    let proxy = Proxy::start_with(|setup| {
        trust(setup, &format!("{BALANCER}/32"));
        setup.set("admin", "listen", BOTH);
    });
    let balancer = second(&proxy);
    // More connections than the limit per source allows for one address.
    let slow: Vec<_> = (0..200).map(|_| balancer.send(&local()[..20])).collect();
    let mut socket = balancer.send(&[&local()[..], READY].concat());
    let mut response = String::new();
    socket.read_to_string(&mut response).unwrap();
    assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
    assert_eq!(count(&proxy, "untrusted"), 0.0);
    drop(slow);
}

#[test]
fn every_form_of_the_admin_table_can_require_a_header() {
    for listen in [
        "{ address = \"127.0.0.1:0\", proxy_protocol = \"required\" }",
        crate::harness::balancer::REQUIRED,
    ] {
        let proxy = Proxy::start_with(|setup| {
            require(setup);
            setup.set("admin", "listen", listen);
        });
        let balancer = Balancer::start(proxy.admin);
        let mut socket = balancer.send(&[&local()[..], READY].concat());
        let mut response = String::new();
        socket.read_to_string(&mut response).unwrap();
        assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
    }
}
