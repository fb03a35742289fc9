//! Unsigned requests that are sent without waiting for the responses: their rate per source is bounded, over each version of HTTP and for any number of
//! connections.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::harness::h2::Http2;
use crate::harness::http::Connection;
use crate::harness::wire::encrypt_body;
use crate::harness::{PAYMENTS, Proxy};

const BATCH: usize = 100;
const BATCHES: usize = 30;

/// The number of rejections without a delay, and the rate after that; see `src/server/unverified/rate_limit.rs`.
const BURST: usize = 1_000;
const PER_SECOND: f64 = 250.0;

const ATTACKER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Returns the CPU time of the proxy, in seconds.
fn cpu(proxy: &Proxy) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", proxy.daemon.id())).unwrap();
    let (_, rest) = stat.rsplit_once(") ").unwrap();
    let fields: Vec<f64> = rest.split(' ').map(|n| n.parse().unwrap_or(0.0)).collect();
    // utime and stime, in ticks of 10 ms (proc_pid_stat(5)).
    (fields[11] + fields[12]) / 100.0
}

/// Sends unsigned requests in batches, and returns the time until all responses were received, in seconds.
fn flood(proxy: &Proxy, batches: usize) -> f64 {
    let client = Arc::clone(&proxy.client);
    let mut connection = Connection::open_from(ATTACKER, proxy.server, client).unwrap();
    let request = proxy.caller(&PAYMENTS).unsigned("health", "", "{}");
    let batch = request.bytes().repeat(BATCH);
    let start = Instant::now();
    for _ in 0..batches {
        connection.send(&batch).unwrap();
        for _ in 0..BATCH {
            assert_eq!(connection.response().unwrap().status, 401);
        }
    }
    start.elapsed().as_secs_f64()
}

#[test]
fn rejections_of_pipelined_requests_are_bounded_per_source() {
    let proxy = Proxy::start();
    let (cpu_before, lines) = (cpu(&proxy), proxy.daemon.log().len());
    let seconds = flood(&proxy, BATCHES);
    let requests = BATCH * BATCHES;
    eprintln!(
        "{requests} requests in {seconds:.2} s, {:.2} s of CPU, {} lines",
        cpu(&proxy) - cpu_before,
        proxy.daemon.log().len() - lines
    );
    assert!(
        seconds > least_seconds(requests),
        "{requests} in {seconds} s"
    );
    let delayed = proxy.metric("xks_unverified_delayed_total", &[]);
    assert!(
        delayed.unwrap() >= (requests - BURST) as f64 / 2.0,
        "{delayed:?}"
    );
    // The attacker has used up its rate. Other clients do not wait.
    let payments = proxy.caller(&PAYMENTS);
    let before = proxy.metric("xks_unverified_delayed_total", &[]);
    for _ in 0..20 {
        payments.encrypt("orders", b"during the attack");
    }
    let after = proxy.metric("xks_unverified_delayed_total", &[]);
    assert_eq!(after, before);
}

/// Returns half of the time that the rate limit requires. Without the limit, the proxy rejects thousands of requests per second.
fn least_seconds(requests: usize) -> f64 {
    (requests - BURST) as f64 / PER_SECOND / 2.0
}

#[test]
fn many_connections_of_a_source_have_one_rate() {
    const CONNECTIONS: usize = 200;
    const EACH: usize = 10;
    let proxy = Proxy::start_with(|setup| {
        setup.set("server.limits", "max_unverified_per_source", "200");
    });
    let request = proxy.caller(&PAYMENTS).unsigned("health", "", "{}");
    let batch = request.bytes().repeat(EACH);
    let open = || {
        let client = Arc::clone(&proxy.client);
        Connection::open_from(ATTACKER, proxy.server, client).unwrap()
    };
    let mut connections: Vec<_> = (0..CONNECTIONS).map(|_| open()).collect();
    let start = Instant::now();
    for connection in &mut connections {
        connection.send(&batch).unwrap();
    }
    for connection in &mut connections {
        for _ in 0..EACH {
            assert_eq!(connection.response().unwrap().status, 401);
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let requests = CONNECTIONS * EACH;
    assert!(
        seconds > least_seconds(requests),
        "{requests} in {seconds} s"
    );
}

#[test]
fn requests_over_http2_are_bounded_and_signed_ones_do_not_wait() {
    const STREAMS: usize = 200;
    let proxy = Proxy::start();
    let request = proxy.caller(&PAYMENTS).unsigned("health", "", "{}");
    let delayed = || proxy.metric("xks_unverified_delayed_total", &[]).unwrap();
    let flood = Http2::open_from(ATTACKER, &proxy);
    let start = Instant::now();
    for _ in 0..10 {
        let pending: Vec<_> = (0..STREAMS).map(|_| flood.start(&request)).collect();
        for pending in pending {
            assert!(flood.feed(&pending, Bytes::from_static(b"{}")));
            assert_eq!(flood.finish(pending).expect("a response").status, 401);
        }
    }
    let (seconds, requests) = (start.elapsed().as_secs_f64(), 10 * STREAMS);
    assert!(
        seconds > least_seconds(requests),
        "{requests} in {seconds} s"
    );
    // On a busy machine not every request has to wait, so only one wait is required.
    let before = delayed();
    assert!(before > 0.0, "no request waited");
    // A new connection from the same source: its first request does not wait, and then the connection is verified.
    let (connection, payments) = (Http2::open_from(ATTACKER, &proxy), proxy.caller(&PAYMENTS));
    for _ in 0..20 {
        let request = payments.request("encrypt", "orders", encrypt_body(b"x").to_string());
        connection.exchange(&request).expect("a response").ok();
    }
    assert_eq!(delayed(), before);
}
