//! Unsigned requests on one HTTP/1.1 connection, sent without waiting for the answers: how many a source may have per second is bounded.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Instant;

use crate::harness::http::Connection;
use crate::harness::{PAYMENTS, Proxy};

const BATCH: usize = 100;
const BATCHES: usize = 30;

/// The number of refusals without a delay, and the rate after that; see `src/server/strangers/pace.rs`.
const BURST: usize = 1_000;
const PER_SECOND: f64 = 250.0;

const ATTACKER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// The CPU time of the proxy, in seconds.
fn cpu(proxy: &Proxy) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", proxy.daemon.id())).unwrap();
    let (_, rest) = stat.rsplit_once(") ").unwrap();
    let fields: Vec<f64> = rest.split(' ').map(|n| n.parse().unwrap_or(0.0)).collect();
    // utime and stime, in ticks of 10 ms (proc_pid_stat(5)).
    (fields[11] + fields[12]) / 100.0
}

/// Sends unsigned requests in batches, and returns how long it took to get all answers, in seconds.
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
fn refusals_of_pipelined_requests_are_bounded_per_source() {
    let proxy = Proxy::start();
    let (cpu_before, lines) = (cpu(&proxy), proxy.daemon.log().len());
    let seconds = flood(&proxy, BATCHES);
    let requests = BATCH * BATCHES;
    eprintln!(
        "{requests} requests in {seconds:.2} s, {:.2} s of CPU, {} lines",
        cpu(&proxy) - cpu_before,
        proxy.daemon.log().len() - lines
    );
    // Half of it is far from what the proxy does without the bound: thousands per second.
    let least = (requests - BURST) as f64 / PER_SECOND / 2.0;
    assert!(seconds > least, "{requests} in {seconds} s");
    let delayed = proxy.metric("xks_unverified_delayed_total", &[]);
    assert!(
        delayed.unwrap() >= (requests - BURST) as f64 / 2.0,
        "{delayed:?}"
    );
    // The attacker has used up its rate; nobody else waits.
    let payments = proxy.caller(&PAYMENTS);
    let before = proxy.metric("xks_unverified_delayed_total", &[]);
    for _ in 0..20 {
        payments.encrypt("orders", b"beside the attack");
    }
    let after = proxy.metric("xks_unverified_delayed_total", &[]);
    assert_eq!(after, before);
}
