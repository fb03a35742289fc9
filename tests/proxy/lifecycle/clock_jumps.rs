//! The wall clock jumps while the proxy serves. Only the check of signature times depends on it.

use std::thread;
use std::time::{Duration, Instant};

use crate::harness::control::{Control, Function};
use crate::harness::metrics::eventually;
use crate::harness::outage::faulty_with;
use crate::harness::response::Response;
use crate::harness::setup::Setup;
use crate::harness::wall_clock::WallClock;
use crate::harness::wire::{bytes, decrypt_body, encrypt_body};
use crate::harness::{Caller, PAYMENTS, Proxy};

/// The offsets of the clock in minutes: an hour ahead, a day back, and correct again.
const JUMPS: [i64; 3] = [60, -24 * 60, 0];

/// The request timeout of the tests in which the HSM hangs.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(1);

/// Starts a proxy with a clock and an HSM that the test controls.
fn with_a_clock(change: impl FnOnce(&mut Setup)) -> (Proxy, WallClock, Control) {
    let mut clock = None;
    let (proxy, control) = faulty_with(|setup| {
        clock = Some(WallClock::of(setup));
        // Only requests must cause encryptions in the HSM.
        setup.set("health", "interval", "\"45s\"");
        change(setup);
    });
    (proxy, clock.unwrap(), control)
}

/// Returns a KMS client whose clock has this offset in minutes.
fn kms(proxy: &Proxy, minutes: i64) -> Caller<'_> {
    let mut kms = proxy.caller(&PAYMENTS);
    kms.signer = kms.signer.shifted(minutes);
    kms
}

/// Makes a round trip on new connections, with requests signed at that time.
#[track_caller]
fn assert_serves(proxy: &Proxy, minutes: i64) {
    let kms = kms(proxy, minutes);
    let encrypted = kms.encrypt("orders", b"kept");
    let opened = kms
        .call("decrypt", "orders", &decrypt_body(&encrypted))
        .ok();
    assert_eq!(bytes(&opened, "plaintext"), b"kept");
    let health = kms.health();
    assert_eq!(health["ekmFleetDetails"][0]["healthStatus"], "ACTIVE");
}

#[track_caller]
fn assert_rejected(proxy: &Proxy, minutes: i64) {
    let stale = kms(proxy, minutes).call("encrypt", "orders", &encrypt_body(b"x"));
    stale.assert_error(401, "AuthenticationFailedException");
}

/// Waits for more deep health checks. Their interval is 100 ms and does not depend on the wall clock.
#[track_caller]
fn await_more_checks(proxy: &Proxy) {
    let (name, labels) = (
        "xks_hsm_health_checks_total",
        [("hsm", "hsm-a"), ("outcome", "ok")],
    );
    let before = proxy.metric(name, &labels).unwrap();
    proxy.await_metric(name, &labels, |count| count >= before + 3.0);
}

#[test]
fn after_a_jump_fresh_signatures_are_served_at_once_and_stale_ones_are_not() {
    let (proxy, clock, control) =
        with_a_clock(|setup| setup.set("health", "interval", "\"100ms\""));
    assert_serves(&proxy, 0);
    let (logins, sessions) = (control.logins(), control.sessions_opened());
    let mut kept_alive = proxy.connect();
    let mut before = 0;
    for now in JUMPS {
        clock.set(now);
        assert_rejected(&proxy, before);
        assert_serves(&proxy, now);
        let body = encrypt_body(b"x").to_string();
        let request = kms(&proxy, now).request("encrypt", "orders", body);
        kept_alive.exchange(&request).ok();
        await_more_checks(&proxy);
        before = now;
    }
    // Nothing expired: neither the HSM nor a session was opened again.
    assert_eq!(
        (control.logins(), control.sessions_opened()),
        (logins, sessions)
    );
}

/// Encrypts with an HSM that hangs, and moves the clock while the request is inside it.
fn moved_in_the_middle(proxy: &Proxy, control: &Control, jump: impl FnOnce()) -> Response {
    let kms = kms(proxy, 0);
    thread::scope(|scope| {
        let request = scope.spawn(|| {
            let start = Instant::now();
            let response = kms.call("encrypt", "orders", &encrypt_body(b"x"));
            (response, start.elapsed())
        });
        eventually("a request inside the device", || {
            (control.stuck(Function::Encrypt) > 0).then_some(())
        });
        jump();
        let (response, elapsed) = request.join().unwrap();
        // Not too early. It was also not too late, because the HSM still hangs.
        assert!(elapsed >= REQUEST_TIMEOUT, "answered after {elapsed:?}");
        response
    })
}

#[test]
fn a_request_inside_the_hsm_keeps_its_deadline_when_the_clock_jumps() {
    for minutes in [60, -24 * 60] {
        let (proxy, clock, control) =
            with_a_clock(|setup| setup.set("server.limits", "request_timeout", "\"1s\""));
        assert_serves(&proxy, 0);
        control.hang(Function::Encrypt, true);
        let response = moved_in_the_middle(&proxy, &control, || clock.set(minutes));
        response.assert_error(503, "DependencyTimeoutException");
        control.clear_faults();
    }
}

#[test]
fn a_waiting_request_keeps_its_deadline_when_the_clock_jumps() {
    let (proxy, clock, control) = with_a_clock(|setup| setup.set("hsm", "sessions", "1"));
    let kms = kms(&proxy, 0);
    kms.encrypt("orders", b"warm");
    // Both are sent at the same time: after two seconds the proxy replaces a worker that hangs, and the second request would not wait.
    let mut requests = [(); 2].map(|()| {
        let body = encrypt_body(b"x").to_string();
        (proxy.connect(), kms.request("encrypt", "orders", body))
    });
    control.hang(Function::Encrypt, true);
    for (connection, request) in &mut requests {
        connection.send(&request.bytes()).unwrap();
    }
    proxy.await_metric("xks_hsm_queue_depth", &[], |depth| depth == 1.0);
    clock.set(60);
    control.hang(Function::Encrypt, false);
    for (connection, _) in &mut requests {
        connection.response().expect("an answer").ok();
    }
}
