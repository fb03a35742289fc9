//! SIGTERM: not ready, no new connections, every accepted request answered, exit code 0.

use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use rustls::ALL_VERSIONS;

use crate::harness::control::{Control, Function};
use crate::harness::http::{Connection, tcp};
use crate::harness::metrics::eventually;
use crate::harness::pki::tls_client;
use crate::harness::wire::{encrypt_body, plain_body};
use crate::harness::{PAYMENTS, Proxy};

/// How long an encryption takes here, so that requests are in progress when SIGTERM arrives.
const DEVICE_TIME: Duration = Duration::from_millis(150);

fn slow_device() -> (Proxy, Control) {
    let mut control = None;
    let proxy = Proxy::start_with(|setup| control = Some(setup.faulty_module()));
    let control = control.unwrap();
    control.set_delay(
        Function::Encrypt,
        u64::try_from(DEVICE_TIME.as_micros()).unwrap(),
    );
    (proxy, control)
}

#[test]
fn an_idle_proxy_ends_at_once_also_with_idle_connections() {
    // Longer than the test runs.
    let mut proxy = Proxy::start_with(|setup| setup.set("server", "grace_period", "\"1h\""));
    let payments_request = |proxy: &Proxy| {
        proxy
            .caller(&PAYMENTS)
            .request("health", "", plain_body("health").to_string())
    };
    let mut idle = proxy.connect();
    idle.exchange(&payments_request(&proxy)).ok();
    let never_used = proxy.connect();
    proxy.daemon.signal(Signal::TERM);
    idle.assert_closes();
    assert_eq!(proxy.daemon.wait().code(), Some(0));
    drop(never_used);
}

#[test]
fn requests_that_are_half_sent_at_sigterm_are_still_answered() {
    let mut proxy = Proxy::start();
    let mut half_sent: Vec<(Connection, Vec<u8>)> = Vec::new();
    for _ in 0..5 {
        let payments = proxy.caller(&PAYMENTS);
        let mut bytes = payments
            .request("encrypt", "orders", encrypt_body(b"x").to_string())
            .bytes();
        let rest = bytes.split_off(bytes.len() - 10);
        let mut connection = proxy.connect();
        connection.send(&bytes).unwrap();
        half_sent.push((connection, rest));
    }
    proxy.await_metric("xks_unverified_requests", &[], |value| value == 5.0);
    proxy.daemon.signal(Signal::TERM);
    eventually("not ready", || {
        (proxy.admin("/readyz").status == 503).then_some(())
    });
    assert_eq!(proxy.admin("/livez").status, 200);
    eventually("no new connections", || proxy.try_connect().err());
    for (connection, rest) in &mut half_sent {
        connection.send(rest).unwrap();
        let response = connection.response().expect("an answer");
        response.ok();
        let announced = response
            .value("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"));
        assert!(
            announced,
            "the connection must not accept more requests: {response:?}"
        );
        connection.assert_closes();
    }
    assert_eq!(proxy.daemon.wait().code(), Some(0));
}

/// A request of the load, with the times when it was written and answered.
struct Sent {
    written: Instant,
    id: String,
    answered: Option<Instant>,
}

/// Encrypts on one connection until the proxy closes it.
fn until_closed(proxy: &Proxy, answered: &AtomicUsize) -> Vec<Sent> {
    let payments = proxy.caller(&PAYMENTS);
    let mut connection = proxy.connect();
    let mut all = Vec::new();
    loop {
        let body = encrypt_body(b"x");
        let id = body["requestMetadata"]["kmsRequestId"]
            .as_str()
            .unwrap()
            .to_owned();
        let request = payments.request("encrypt", "orders", body.to_string());
        if connection.send(&request.bytes()).is_err() {
            return all;
        }
        let written = Instant::now();
        let response = connection.response();
        all.push(Sent {
            written,
            id,
            answered: response.is_some().then(Instant::now),
        });
        let Some(response) = response else { return all };
        response.ok();
        answered.fetch_add(1, Ordering::Relaxed);
        if response.value("connection") == Some("close") {
            connection.assert_closes();
            return all;
        }
    }
}

#[test]
fn every_accepted_request_is_answered_under_load() {
    let (mut proxy, _control) = slow_device();
    let answered = AtomicUsize::new(0);
    let (sent, signalled) = thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| until_closed(&proxy, &answered)))
            .collect();
        eventually("a steady load", || {
            (answered.load(Ordering::Relaxed) > 30).then_some(())
        });
        let signalled = Instant::now();
        proxy.daemon.signal(Signal::TERM);
        let sent: Vec<Sent> = threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect();
        (sent, signalled)
    });
    assert_eq!(proxy.daemon.wait().code(), Some(0));
    // HTTP cannot rule out that a request arrives while the proxy closes an idle connection (RFC 9112, section 9.3.1). Such a
    // request was never accepted.
    let log = proxy.daemon.log().join("\n");
    for request in sent.iter().filter(|request| request.answered.is_none()) {
        assert!(
            !log.contains(&format!("\"{}\"", request.id)),
            "{} was accepted, not answered",
            request.id
        );
    }
    let in_the_middle = sent
        .iter()
        .filter(|request| request.written < signalled && request.answered > Some(signalled));
    assert!(
        in_the_middle.count() > 0,
        "the load was not running when SIGTERM was sent, so the test proves nothing"
    );
}

#[test]
fn a_request_that_never_ends_is_cut_at_the_end_of_the_grace_period() {
    let mut proxy = Proxy::start_with(|setup| {
        setup.set("server", "grace_period", "\"1s\"");
        setup.set("server.limits", "request_timeout", "\"60s\"");
        setup.set("server.limits", "body_timeout", "\"60s\"");
    });
    let payments = proxy.caller(&PAYMENTS);
    let bytes = payments
        .request("encrypt", "orders", encrypt_body(b"x").to_string())
        .bytes();
    let mut connection = proxy.connect();
    connection.send(&bytes[..bytes.len() - 10]).unwrap();
    proxy.await_metric("xks_unverified_requests", &[], |value| value == 1.0);
    let start = Instant::now();
    proxy.daemon.signal(Signal::TERM);
    assert_eq!(proxy.daemon.wait().code(), Some(0));
    assert!(
        start.elapsed() < Duration::from_secs(50),
        "it ended with the request, not with the grace period"
    );
}

#[test]
fn sessions_are_closed_before_the_end() {
    let (mut proxy, control) = slow_device();
    proxy.caller(&PAYMENTS).encrypt("orders", b"x");
    assert!(control.open_sessions() > 0);
    proxy.daemon.signal(Signal::TERM);
    assert_eq!(proxy.daemon.wait().code(), Some(0));
    assert_eq!(
        (control.open_sessions(), control.calls(Function::Finalize)),
        (0, 1)
    );
    assert_eq!(
        control.finalize_races(),
        0,
        "C_Finalize while other calls were inside"
    );
}

#[test]
fn a_proxy_whose_hsm_hangs_stops_on_sigterm() {
    let mut control = None;
    let mut proxy = Proxy::start_with(|setup| {
        control = Some(setup.faulty_module());
        setup.set("server", "grace_period", "\"1s\"");
        setup.set("server.limits", "request_timeout", "\"1s\"");
    });
    let control = control.unwrap();
    control.hang(Function::Encrypt, true);
    let response = proxy
        .caller(&PAYMENTS)
        .call("encrypt", "orders", &encrypt_body(b"x"));
    response.assert_error(503, "DependencyTimeoutException");
    proxy.daemon.signal(Signal::TERM);
    proxy.daemon.wait();
    control.hang(Function::Encrypt, false);
}

#[test]
fn unverified_clients_do_not_delay_the_stop() {
    let mut proxy = Proxy::start_with(|setup| {
        setup.set("server", "grace_period", "\"60s\"");
        setup.set("server.limits", "header_timeout", "\"60s\"");
    });
    let mut half_a_head = proxy.connect();
    half_a_head.send(b"POST /x HTT").unwrap();
    let client = tls_client(proxy.setup.authority.der(), ALL_VERSIONS, None, &["h2"]);
    let mut never_reads = Connection::open(proxy.server, client).unwrap();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    never_reads.send(preface).unwrap();
    let mut half_a_record = tcp(proxy.server).unwrap();
    half_a_record.write_all(&[0x16, 3, 1, 2, 0, 1]).unwrap();
    for (state, count) in [("unverified", 2.0), ("handshake", 1.0)] {
        let labels = [("listener", "server"), ("state", state)];
        proxy.await_metric("xks_connections", &labels, |value| value == count);
    }
    let start = Instant::now();
    proxy.daemon.signal(Signal::TERM);
    assert_eq!(proxy.daemon.wait().code(), Some(0));
    let took = start.elapsed();
    assert!(took < Duration::from_secs(40), "{took:?}");
}
