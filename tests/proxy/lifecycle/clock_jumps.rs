//! The wall clock jumps while the proxy serves: it decides which signatures are fresh, and nothing else.

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

/// Where the clock goes, in minutes off the truth: an hour ahead, a day back, and home again.
const JUMPS: [i64; 3] = [60, -24 * 60, 0];

/// How long a request may take where the device hangs.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(1);

/// A proxy whose clock and whose device a test controls.
fn with_a_clock(change: impl FnOnce(&mut Setup)) -> (Proxy, WallClock, Control) {
    let mut clock = None;
    let (proxy, control) = faulty_with(|setup| {
        clock = Some(WallClock::of(setup));
        // The only encryptions inside the device shall be those of requests.
        setup.set("health", "interval", "\"45s\"");
        change(setup);
    });
    (proxy, clock.unwrap(), control)
}

/// KMS, whose clock is so many minutes off the truth.
fn kms(proxy: &Proxy, minutes: i64) -> Caller<'_> {
    let mut kms = proxy.caller(&PAYMENTS);
    kms.signer = kms.signer.shifted(minutes);
    kms
}

/// A round trip on new connections, each request signed at that time.
#[track_caller]
fn assert_serves(proxy: &Proxy, minutes: i64) {
    let kms = kms(proxy, minutes);
    let sealed = kms.encrypt("orders", b"kept");
    let opened = kms.call("decrypt", "orders", &decrypt_body(&sealed)).ok();
    assert_eq!(bytes(&opened, "plaintext"), b"kept");
    let health = kms.health();
    assert_eq!(health["ekmFleetDetails"][0]["healthStatus"], "ACTIVE");
}

#[track_caller]
fn assert_refused(proxy: &Proxy, minutes: i64) {
    let stale = kms(proxy, minutes).call("encrypt", "orders", &encrypt_body(b"x"));
    stale.assert_error(401, "AuthenticationFailedException");
}

/// The deep health check goes on: its interval is 100 ms, whatever the clock says.
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
        assert_refused(&proxy, before);
        assert_serves(&proxy, now);
        let body = encrypt_body(b"x").to_string();
        let request = kms(&proxy, now).request("encrypt", "orders", body);
        kept_alive.exchange(&request).ok();
        await_more_checks(&proxy);
        before = now;
    }
    // Nothing expired meanwhile: the device did not have to be opened, nor a session.
    assert_eq!(
        (control.logins(), control.sessions_opened()),
        (logins, sessions)
    );
}

/// Encrypts on a device that hangs, and moves the clock when the request is inside it.
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
        // Not too early; not too late either, because the device still hangs.
        assert!(elapsed >= REQUEST_TIMEOUT, "answered after {elapsed:?}");
        response
    })
}

#[test]
fn a_deadline_is_kept_by_a_request_that_a_jump_finds_inside_the_device() {
    for minutes in [60, -24 * 60] {
        let (proxy, clock, control) =
            with_a_clock(|setup| setup.set("server.limits", "request_timeout", "\"1s\""));
        assert_serves(&proxy, 0);
        control.hang(Function::Encrypt, true);
        let response = moved_in_the_middle(&proxy, &control, || clock.set(minutes));
        response.assert_error(503, "DependencyTimeoutException");
        control.heal();
    }
}

#[test]
fn a_request_that_waits_for_the_device_is_not_too_late_because_of_a_jump() {
    let (proxy, clock, control) = with_a_clock(|setup| setup.set("hsm", "sessions", "1"));
    let kms = kms(&proxy, 0);
    kms.encrypt("orders", b"warm");
    // Both are sent at once: after two seconds the proxy replaces a thread that hangs, and the second request would not wait.
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
