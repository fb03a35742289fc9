//! Requests before their signature is verified: the bytes that they hold are bounded by source, separately from verified clients, for every path.

use std::net::Ipv4Addr;
use std::sync::Arc;

use crate::harness::h2::{Http2, Pending};
use crate::harness::http::{Connection, Request};
use crate::harness::wire::encrypt_body;
use crate::harness::{PAYMENTS, Proxy};

/// The bytes that all unverified connections together may hold; see `src/server/unverified/budget.rs`.
const BUDGET: f64 = 8.0 * 1024.0 * 1024.0;

const ATTACKER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

fn unknown(proxy: &Proxy, name: &str) -> f64 {
    proxy.metric(name, &[("client", "unknown")]).unwrap()
}

/// Returns the request with a head that announces a body of 60,000 bytes.
fn announcing(request: &Request) -> Request {
    request.clone().with("content-length", "60000")
}

/// Returns a request without a signature, for an existing key.
fn unsigned(proxy: &Proxy) -> Request {
    proxy.caller(&PAYMENTS).unsigned("encrypt", "orders", "")
}

/// Opens streams whose bodies never arrive.
fn stall(connection: &Http2, request: &Request, streams: usize) -> Vec<Pending> {
    (0..streams).map(|_| connection.start(request)).collect()
}

#[test]
fn requests_whose_body_never_arrives_do_not_affect_verified_ones() {
    let proxy = Proxy::start_with(|setup| setup.set("server.limits", "max_in_flight", "4"));
    let request = announcing(&unsigned(&proxy));
    let connections: Vec<_> = (0..8).map(|_| Http2::open_from(ATTACKER, &proxy)).collect();
    let stalled = connections.iter().flat_map(|c| stall(c, &request, 100));
    let _stalled: Vec<_> = stalled.collect();
    proxy.await_metric(
        "xks_unverified_refused_total",
        &[("client", "unknown")],
        |n| n >= 1.0,
    );
    // 800 bodies of 60,000 bytes are announced. A single source may hold half of the budget.
    let requests = unknown(&proxy, "xks_unverified_requests");
    assert!((50.0..80.0).contains(&requests), "{requests}");
    assert_eq!(proxy.metric("xks_requests_in_flight", &[]), Some(0.0));
    let payments = proxy.caller(&PAYMENTS);
    for _ in 0..20 {
        payments.encrypt("orders", b"during the attack");
    }
    assert_eq!(proxy.metric("xks_shed_total", &[]), Some(0.0));
    assert!(
        unknown(&proxy, "xks_unverified_requests") >= 50.0,
        "the attack was over"
    );
}

#[test]
fn requests_with_unknown_paths_or_access_key_ids_count_like_others() {
    let proxy = Proxy::start();
    let mut unknown_id = proxy.caller(&PAYMENTS);
    unknown_id.signer.access_key_id = "XKSNOBODYKEYAAAAAAAA".into();
    let body = encrypt_body(b"x").to_string();
    let variants = [
        unsigned(&proxy),
        Request::post("/nobody/kms/xks/v1/health", &proxy.host(), ""),
        Request::post("/no/such/path", &proxy.host(), ""),
        unknown_id.request("encrypt", "orders", body),
    ];
    for (n, request) in (2..).zip(variants) {
        let connection = Http2::open_from(Ipv4Addr::new(127, 0, 0, n), &proxy);
        let stalled = stall(&connection, &announcing(&request), 5);
        let all = f64::from(n - 1) * 5.0;
        proxy.await_metric("xks_unverified_requests", &[("client", "unknown")], |n| {
            n == all
        });
        assert!(unknown(&proxy, "xks_unverified_bytes") >= all * 4_096.0);
        // The streams stay open until the proxy ends.
        std::mem::forget((connection, stalled));
    }
}

#[test]
fn two_hundred_sources_hold_no_more_than_one_budget() {
    let proxy = Proxy::start();
    proxy.caller(&PAYMENTS).encrypt("orders", b"warm");
    let before = proxy.daemon.resident_kib();
    let head = announcing(&unsigned(&proxy))
        .with("x-filler", &"y".repeat(20_000))
        .head();
    let body = vec![b'{'; 59_999];
    let connections: Vec<Connection> = (0..400_u32)
        .map(|n| {
            let [.., high, low] = (n % 200 + 2).to_be_bytes();
            let source = Ipv4Addr::new(127, 1, high, low);
            let client = Arc::clone(&proxy.client);
            let mut connection = Connection::open_from(source, proxy.server, client).unwrap();
            connection.send(&head).unwrap();
            // A rejected connection may be closed already.
            let _ = connection.send(&body);
            connection
        })
        .collect();
    proxy.await_metric(
        "xks_unverified_refused_total",
        &[("client", "unknown")],
        |n| n >= 100.0,
    );
    let held = unknown(&proxy, "xks_unverified_bytes");
    assert!(held > BUDGET / 2.0 && held <= BUDGET, "{held}");
    proxy
        .caller(&PAYMENTS)
        .encrypt("orders", b"during the attack");
    let grown = proxy.daemon.resident_kib().saturating_sub(before);
    // The 400 TLS connections use most of this memory.
    assert!(grown < 128 * 1024, "{grown} KiB");
    drop(connections);
    proxy.await_metric("xks_unverified_bytes", &[], |held| held == 0.0);
}

#[test]
fn a_request_over_the_budget_gets_a_response_and_its_connection_ends() {
    let proxy = Proxy::start_with(|setup| setup.set("server.limits", "max_body", "\"16MiB\""));
    let head = unsigned(&proxy).with("content-length", "16000000").head();
    let connections: Vec<Connection> = (0..5)
        .map(|_| {
            let client = Arc::clone(&proxy.client);
            let mut connection = Connection::open_from(ATTACKER, proxy.server, client).unwrap();
            connection.send(&head).unwrap();
            connection
        })
        .collect();
    proxy.await_metric(
        "xks_unverified_refused_total",
        &[("client", "unknown")],
        |n| n == 1.0,
    );
    let mut rejected = connections.into_iter().filter_map(|mut connection| {
        connection.set_patience(std::time::Duration::from_millis(100));
        let response = connection.try_response().ok()??;
        connection.set_patience(std::time::Duration::from_secs(30));
        connection.assert_closes();
        Some(response)
    });
    let response = rejected.next().expect("an error response");
    response.assert_error(429, "ThrottlingException");
    assert_eq!(response.value("connection"), Some("close"));
}
