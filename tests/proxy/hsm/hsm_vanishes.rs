//! An HSM that goes away under load and comes back: 5xx while it is away, never a wrong InvalidCiphertext, service again without
//! a restart, and nothing left over, neither sessions nor memory.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::Instant;

use serde_json::Value;

use crate::harness::control::Control;
use crate::harness::load::Stop;
use crate::harness::metrics::eventually;
use crate::harness::outage::{assert_blames_the_hsm, await_service, faulty};
use crate::harness::wire::{decrypt_body, encrypt_body};
use crate::harness::{PAYMENTS, Proxy};

/// An answer that the load got.
struct Answer {
    at: Instant,
    status: u16,
    error: Option<String>,
}

/// Encrypts and decrypts in turn on one connection.
fn load(proxy: &Proxy, stop: &AtomicBool, decrypt: &Value) -> Vec<Answer> {
    let payments = proxy.caller(&PAYMENTS);
    let mut connection = proxy.connect();
    let mut answers = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        for (operation, body) in [("encrypt", &encrypt_body(b"x")), ("decrypt", decrypt)] {
            let request = payments.request(operation, "orders", body.to_string());
            let response = connection.exchange(&request);
            let error = response.json()["errorName"].as_str().map(str::to_owned);
            answers.push(Answer {
                at: Instant::now(),
                status: response.status,
                error,
            });
        }
    }
    answers
}

fn await_requests(proxy: &Proxy, more: f64) {
    let total = || {
        proxy
            .metric("xks_requests_total", &[("store", "payments")])
            .unwrap_or_default()
    };
    let before = total();
    eventually("requests of the load", || {
        (total() >= before + more).then_some(())
    });
}

fn await_usable(proxy: &Proxy, usable: f64) {
    proxy.await_metric("xks_hsm_usable", &[("hsm", "hsm-a")], |value| {
        value == usable
    });
}

/// Takes the HSM away under load and gives it back.
fn outage(proxy: &Proxy, control: &Control) {
    await_requests(proxy, 200.0);
    control.set_removed(true);
    await_usable(proxy, 0.0);
    await_requests(proxy, 100.0);
    control.set_removed(false);
    await_usable(proxy, 1.0);
}

fn assert_only_the_hsm_was_blamed(answers: &[Answer], well_again: Instant) {
    for Answer { at, status, error } in answers {
        let error = error.as_deref().unwrap_or("nothing");
        let retryable = ["InternalException", "DependencyTimeoutException"].contains(&error);
        let right = *status == 200 || (retryable && [500, 503].contains(status));
        assert!(right, "{status} {error} while the HSM was away");
        assert!(
            *status == 200 || *at < well_again,
            "{status} {error} after its return"
        );
    }
    let failed = answers.iter().filter(|answer| answer.status != 200).count();
    assert!(
        failed > 0 && failed < answers.len(),
        "{failed} failures of {}",
        answers.len()
    );
}

#[test]
fn an_hsm_that_vanishes_under_load_and_returns_needs_no_restart() {
    let (proxy, control) = faulty();
    let payments = proxy.caller(&PAYMENTS);
    let decrypt = decrypt_body(&payments.encrypt("orders", b"x"));
    let (sessions, stop) = (control.open_sessions(), AtomicBool::new(false));
    let mut memory = Vec::new();
    thread::scope(|scope| {
        let run = || load(&proxy, &stop, &decrypt);
        let threads: Vec<ScopedJoinHandle<'_, _>> = (0..4).map(|_| scope.spawn(run)).collect();
        let stop = Stop(&stop);
        for _ in 0..3 {
            outage(&proxy, &control);
            memory.push(proxy.daemon.resident_kib());
        }
        await_service(&payments, &decrypt);
        await_requests(&proxy, 50.0);
        let well_again = Instant::now();
        await_requests(&proxy, 100.0);
        drop(stop);
        let answers: Vec<Answer> = threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect();
        assert_only_the_hsm_was_blamed(&answers, well_again);
    });
    eventually("as many sessions as before", || {
        (control.open_sessions() == sessions).then_some(())
    });
    // The first outage may cost memory, as any first use does; another one must not.
    let growth = memory[2].saturating_sub(memory[0]);
    assert!(
        growth < 8 << 10,
        "resident KiB after each outage: {memory:?}"
    );
}

/// What befalls the device is over with the next calls, and leaves as many sessions as there were.
fn recovers_from(what: &str, happen: impl Fn(&Control)) {
    let (proxy, control) = faulty();
    let payments = proxy.caller(&PAYMENTS);
    let decrypt = decrypt_body(&payments.encrypt("orders", b"x"));
    let sessions = control.open_sessions();
    happen(&control);
    let first = payments.call("decrypt", "orders", &decrypt);
    if first.status != 200 {
        assert_blames_the_hsm(&first);
    }
    await_service(&payments, &decrypt);
    // Sessions are opened again when they are used, that of the health monitor at its next check.
    let as_before = || {
        std::thread::scope(|scope| {
            for _ in 0..sessions {
                scope.spawn(|| proxy.caller(&PAYMENTS).call("decrypt", "orders", &decrypt));
            }
        });
        (control.open_sessions() == sessions).then_some(())
    };
    eventually(&format!("as many sessions as before {what}"), as_before);
}

#[test]
fn lost_sessions_are_opened_again() {
    recovers_from("they were lost", Control::lose_sessions);
}

#[test]
fn a_lost_login_is_made_again() {
    recovers_from("the login was lost", Control::lose_login);
}

#[test]
fn stale_object_handles_are_looked_up_again() {
    recovers_from("handles went stale", Control::stale_handles);
}

#[test]
fn a_module_that_someone_finalized_is_initialised_again() {
    recovers_from("the module was finalized", Control::finalize_behind_back);
}

#[test]
fn what_can_be_had_again_is_mended_in_place_and_costs_no_request() {
    let losses = [
        Control::lose_sessions,
        Control::lose_login,
        Control::stale_handles,
    ];
    for (happen, what) in losses.into_iter().zip(["sessions", "login", "handles"]) {
        let (proxy, control) = faulty();
        let payments = proxy.caller(&PAYMENTS);
        payments.encrypt("orders", b"x");
        happen(&control);
        // The first of them mends, the second is done in the device's way with what was mended.
        for _ in 0..2 {
            let sealed = payments.encrypt("orders", b"x");
            let decrypt = decrypt_body(&sealed);
            payments.call("decrypt", "orders", &decrypt).ok();
        }
        let opened = proxy.metric("xks_hsm_open_attempts_total", &[("hsm", "hsm-a")]);
        assert_eq!(opened, Some(1.0), "{what} were lost, not the device");
    }
}
