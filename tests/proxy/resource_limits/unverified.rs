//! Requests before their signature is verified: what they hold is bounded apart from verified clients, by source, whatever they ask for.

use std::net::Ipv4Addr;
use std::sync::Arc;

use crate::harness::h2::{Http2, Pending};
use crate::harness::http::{Connection, Request};
use crate::harness::wire::encrypt_body;
use crate::harness::{PAYMENTS, Proxy};

/// What all strangers together may hold, in bytes; see `src/server/strangers/budget.rs`.
const STRANGERS: f64 = 8.0 * 1024.0 * 1024.0;

const ATTACKER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

fn unknown(proxy: &Proxy, name: &str) -> f64 {
    proxy.metric(name, &[("client", "unknown")]).unwrap()
}

/// A head that announces a body of 60,000 bytes.
fn announcing(request: &Request) -> Request {
    request.clone().with("content-length", "60000")
}

/// A request without a signature, for a key that is there.
fn unsigned(proxy: &Proxy) -> Request {
    proxy.caller(&PAYMENTS).unsigned("encrypt", "orders", "")
}

/// So many streams whose bodies never come.
fn stall(connection: &Http2, request: &Request, streams: usize) -> Vec<Pending> {
    (0..streams).map(|_| connection.start(request)).collect()
}

#[test]
fn requests_whose_body_never_comes_cost_verified_ones_nothing() {
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
    // Eight hundred bodies of 60,000 bytes are announced; a source alone has half of the budget.
    let requests = unknown(&proxy, "xks_unverified_requests");
    assert!((50.0..80.0).contains(&requests), "{requests}");
    assert_eq!(proxy.metric("xks_requests_in_flight", &[]), Some(0.0));
    let payments = proxy.caller(&PAYMENTS);
    for _ in 0..20 {
        payments.encrypt("orders", b"beside the attack");
    }
    assert_eq!(proxy.metric("xks_shed_total", &[]), Some(0.0));
    assert!(
        unknown(&proxy, "xks_unverified_requests") >= 50.0,
        "the attack was over"
    );
}

#[test]
fn unknown_paths_and_unknown_access_key_ids_count_as_any_other() {
    let proxy = Proxy::start();
    let mut stranger = proxy.caller(&PAYMENTS);
    stranger.signer.access_key_id = "XKSNOBODYKEYAAAAAAAA".into();
    let body = encrypt_body(b"x").to_string();
    let variants = [
        unsigned(&proxy),
        Request::post("/nobody/kms/xks/v1/health", &proxy.host(), ""),
        Request::post("/no/such/path", &proxy.host(), ""),
        stranger.request("encrypt", "orders", body),
    ];
    for (n, request) in (2..).zip(variants) {
        let connection = Http2::open_from(Ipv4Addr::new(127, 0, 0, n), &proxy);
        let stalled = stall(&connection, &announcing(&request), 5);
        let all = f64::from(n - 1) * 5.0;
        proxy.await_metric("xks_unverified_requests", &[("client", "unknown")], |n| {
            n == all
        });
        assert!(unknown(&proxy, "xks_unverified_bytes") >= all * 4_096.0);
        // They stay open until the proxy ends.
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
            // One that is refused may be closed meanwhile.
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
    assert!(held > STRANGERS / 2.0 && held <= STRANGERS, "{held}");
    proxy
        .caller(&PAYMENTS)
        .encrypt("orders", b"beside the attack");
    let grown = proxy.daemon.resident_kib().saturating_sub(before);
    // 400 TLS connections take most of it.
    assert!(grown < 128 * 1024, "{grown} KiB");
    drop(connections);
    proxy.await_metric("xks_unverified_bytes", &[], |held| held == 0.0);
}

#[test]
fn who_is_refused_is_told_and_the_connection_ends() {
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
    let mut refused = connections.into_iter().filter_map(|mut connection| {
        connection.set_patience(std::time::Duration::from_millis(100));
        let response = connection.try_response().ok()??;
        connection.set_patience(std::time::Duration::from_secs(30));
        connection.assert_closes();
        Some(response)
    });
    let response = refused.next().expect("a refusal");
    response.assert_error(429, "ThrottlingException");
    assert_eq!(response.value("connection"), Some("close"));
}
