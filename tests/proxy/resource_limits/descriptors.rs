//! A proxy that runs out of file descriptors: it pauses instead of spinning, and serves again when descriptors are available.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::harness::metrics::eventually;
use crate::harness::{PAYMENTS, Proxy};

/// Returns the user and system time of the process so far, in clock ticks of 10 ms.
fn ticks(proxy: &Proxy) -> u64 {
    let path = format!("/proc/{}/stat", proxy.daemon.front());
    let stat = std::fs::read_to_string(path).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let fields: Vec<&str> = fields.split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn a_lack_of_descriptors_causes_no_spinning_and_is_temporary() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    payments.health();
    let few = Rlimit {
        current: Some(40),
        maximum: Some(40),
    };
    let pid = Pid::from_raw(i32::try_from(proxy.daemon.front()).unwrap());
    prlimit(pid, Resource::Nofile, few).unwrap();
    // More connections than descriptors. Those that are not accepted stay in the kernel's accept queue.
    let waiting: Vec<TcpStream> = (0..80)
        .map(|_| TcpStream::connect(proxy.server).unwrap())
        .collect();
    proxy.daemon.wait_for("the failure to accept", |line| {
        line["message"] == "cannot accept connections"
    });
    let (before, start) = (ticks(&proxy), Instant::now());
    // The first failure has a line at once. Then each period has one line with the number of failures.
    let failures = proxy
        .daemon
        .wait_for("the number of failures to accept", |line| {
            line["message"] == "cannot accept connections" && line["count"].as_u64() > Some(1)
        });
    assert!(
        failures["count"].as_u64() < Some(400),
        "no pause after each failure: {failures}"
    );
    let spent = Duration::from_millis((ticks(&proxy) - before) * 10);
    assert!(
        spent < start.elapsed() / 2,
        "{spent:?} of CPU in {:?}",
        start.elapsed()
    );
    drop(waiting);
    eventually("service with descriptors", || {
        proxy.try_connect().is_ok().then_some(())
    });
    payments.health();
}
