//! Every verified request is recorded exactly once, also when its client disconnects: one count, one access line, one audit line, and the
//! number of its HSM calls.

use std::collections::HashSet;
use std::io;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

use crate::harness::control::{Control, Function};
use crate::harness::h2::Http2;
use crate::harness::http::Request;
use crate::harness::metrics::eventually;
use crate::harness::outage::two_faulty;
use crate::harness::trail::Trail;
use crate::harness::wire::{decrypt_body, encrypt_body, set};
use crate::harness::{Caller, PAYMENTS, Proxy};

/// The number of concurrent clients, and of the requests of each.
const CLIENTS: u64 = 4;
const REQUESTS: u64 = 60;

/// A generator of the same pseudo-random numbers in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// Starts a proxy with two slow HSMs and a short hedge delay, so that requests cause one to about six calls.
fn recorded() -> (Proxy, Trail, [Control; 2]) {
    let mut trail = None;
    let (proxy, a, b) = two_faulty(|setup| {
        trail = Some(setup.audit("checkpoint = { lines = 50 }"));
        setup.set("failover", "hedge_delay", "\"5ms\"");
    });
    for device in [&a, &b] {
        for function in [Function::Encrypt, Function::Decrypt] {
            device.set_random_delay(function, 20_000);
        }
    }
    (proxy, trail.unwrap(), [a, b])
}

/// Returns a random request of the kinds that KMS sends.
fn any_request(payments: &Caller<'_>, encrypted: &Value, random: &mut Random) -> Request {
    let (operation, body) = match random.below(3) {
        0 => ("encrypt", encrypt_body(b"x")),
        1 => ("decrypt", decrypt_body(encrypted)),
        _ => {
            let algorithm = "ciphertextDataIntegrityValueAlgorithm";
            ("encrypt", set(&encrypt_body(b"x"), algorithm, "SHA_256"))
        }
    };
    payments.request(operation, "orders", body.to_string())
}

/// Sends requests on HTTP/1.1 connections. It closes most of them before the response.
fn call_by_http1(payments: &Caller<'_>, encrypted: &Value, random: &mut Random) {
    for _ in 0..REQUESTS {
        let request = any_request(payments, encrypted, random);
        let mut connection = payments.proxy.connect();
        connection.send(&request.bytes()).unwrap();
        match random.below(4) {
            0 => drop(connection.response()),
            _ => {
                connection.set_patience(Duration::from_micros(1 + random.below(30_000)));
                let outcome = connection.try_response();
                let is_early = |e: &io::Error| e.kind() == io::ErrorKind::WouldBlock;
                assert!(outcome.as_ref().err().is_none_or(is_early), "{outcome:?}");
            }
        }
    }
}

/// Sends requests as streams of one HTTP/2 connection. It resets most of them before the response.
fn call_by_http2(payments: &Caller<'_>, encrypted: &Value, random: &mut Random) {
    let connection = Http2::open(payments.proxy);
    for _ in 0..REQUESTS {
        let request = any_request(payments, encrypted, random);
        let pending = connection.start(&request);
        assert!(connection.feed(&pending, Bytes::from(request.body.clone())));
        match random.below(4) {
            0 => drop(connection.finish(pending)),
            _ => connection.reset(pending, Duration::from_micros(random.below(30_000))),
        }
    }
}

/// The numbers of requests that the parts of the proxy recorded.
#[derive(Debug, PartialEq)]
struct Records {
    verified: f64,
    counts: f64,
    access_lines: usize,
    audit_lines: usize,
}

fn records(proxy: &Proxy, trail: &Trail) -> Records {
    let total = |labels: &[_]| proxy.metric("xks_requests_total", labels).unwrap_or(0.0);
    let unverified = ["incomplete", "AuthenticationFailedException"];
    let unverified = unverified.map(|outcome| total(&[("outcome", outcome)]));
    let log = proxy.daemon.log();
    let lines = log
        .iter()
        .filter_map(|line| serde_json::from_str(line).ok());
    let is_verified =
        |line: &Value| line["message"] == "request" && line["access_key_id"].is_string();
    Records {
        verified: proxy.metric("xks_credential_requests_total", &[]).unwrap(),
        counts: total(&[]) - unverified.iter().sum::<f64>(),
        access_lines: lines.filter(is_verified).count(),
        audit_lines: trail.of_kind("request").len(),
    }
}

/// Returns the numbers of calls that the audit trail, the proxy's HSM module and the HSMs counted, for requests only.
fn calls(proxy: &Proxy, trail: &Trail, devices: &[Control]) -> [u64; 3] {
    let counter = |name, labels: &[_]| proxy.metric(name, labels).unwrap_or(0.0) as u64;
    let seals = counter("xks_audit_checkpoints_total", &[("outcome", "sealed")]);
    // Each health check encrypts once and decrypts once. Checks at the start of a worker are counted separately.
    let checks = counter("xks_hsm_health_checks_total", &[("outcome", "ok")]);
    let device_calls =
        |device: &Control| device.calls(Function::Encrypt) + device.calls(Function::Decrypt);
    let request_calls = |line: &Value| line["hsm_calls"].as_u64().unwrap();
    [
        trail.of_kind("request").iter().map(request_calls).sum(),
        counter("xks_hsm_calls_total", &[]) - seals,
        devices.iter().map(device_calls).sum::<u64>() - seals - 2 * checks,
    ]
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "one scene, whose counts are compared at its end"
)]
fn every_verified_request_and_its_hsm_calls_are_recorded_once() {
    let (proxy, trail, devices) = recorded();
    let before = eventually("an idle proxy", || {
        let [.., of_devices] = calls(&proxy, &trail, &devices);
        (calls(&proxy, &trail, &devices)[2] == of_devices).then_some(of_devices)
    });
    let encrypted = proxy.caller(&PAYMENTS).encrypt("orders", b"x");
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (proxy, encrypted) = (&proxy, &encrypted);
            scope.spawn(move || {
                let payments = proxy.caller(&PAYMENTS);
                let mut random = Random(client + 1);
                match client % 2 {
                    0 => call_by_http1(&payments, encrypted, &mut random),
                    _ => call_by_http2(&payments, encrypted, &mut random),
                }
            });
        }
    });
    let records = eventually("records that agree", || {
        let records = records(&proxy, &trail);
        let all = records.verified as usize;
        let agree = [
            records.counts as usize,
            records.access_lines,
            records.audit_lines,
        ];
        eprintln!("{records:?}");
        (agree == [all; 3]).then_some(records)
    });
    let sent = (CLIENTS * REQUESTS + 1) as f64;
    assert!(
        records.verified > sent / 2.0 && records.verified <= sent,
        "{records:?}"
    );
    let gone = [("outcome", "client_disconnected")];
    let gone = proxy.metric("xks_requests_total", &gone).unwrap();
    assert!(
        gone > records.verified / 4.0,
        "few clients disconnected: {gone}"
    );
    let in_records = eventually("counts of calls that agree", || {
        let [in_records, in_metric, in_devices] = calls(&proxy, &trail, &devices);
        eprintln!("{in_records} {in_metric} {in_devices} - {before}");
        (in_records == in_metric && in_records == in_devices - before).then_some(in_records)
    });
    assert!(
        in_records as f64 > records.verified,
        "nothing was verified, hedged or repeated"
    );
    assert_no_line_twice(&trail);
}

fn assert_no_line_twice(trail: &Trail) {
    let mut seen = HashSet::new();
    for line in trail.of_kind("request") {
        let id = line["request_metadata"]["kmsRequestId"].to_string();
        assert!(seen.insert(id), "two lines: {line}");
    }
    trail.assert_chain();
}

#[test]
fn a_request_of_a_disconnected_client_is_completed_before_the_stop() {
    let mut trail = None;
    let (mut proxy, device, _) = two_faulty(|setup| trail = Some(setup.audit("")));
    device.set_delay(Function::Encrypt, 1_000_000);
    let body = encrypt_body(b"x");
    let payments = proxy.caller(&PAYMENTS);
    let request = payments.request("encrypt", "orders", body.to_string());
    let mut connection = proxy.connect();
    connection.send(&request.bytes()).unwrap();
    proxy.await_metric("xks_requests_in_flight", &[], |n| n == 1.0);
    drop(connection);
    proxy.await_metric("xks_connections", &[("listener", "server")], |n| n == 0.0);
    proxy.daemon.signal(rustix::process::Signal::TERM);
    assert_eq!(proxy.daemon.wait().code(), Some(0));
    let line = trail.unwrap().request(&body);
    assert_eq!(line["outcome"], "client_disconnected");
    assert_eq!(line["hsm_calls"], 2, "hedged once: {line}");
}
