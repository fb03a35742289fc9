//! An HSM that vanishes under load and returns. In the meantime, requests fail with 5xx errors, never with InvalidCiphertext. Then the HSM
//! serves again without a restart, and no sessions or memory are leaked.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::Instant;

use serde_json::Value;

use crate::harness::control::{Control, Function};
use crate::harness::load::Stop;
use crate::harness::metrics::eventually;
use crate::harness::outage::{assert_blames_the_hsm, await_service, faulty};
use crate::harness::wire::{decrypt_body, encrypt_body};
use crate::harness::{PAYMENTS, Proxy};

/// A response to a request of the load.
struct Answer {
    at: Instant,
    status: u16,
    error: Option<String>,
}

/// Encrypts and decrypts alternately on one connection.
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

/// Removes the HSM under load and inserts it again.
fn outage(proxy: &Proxy, control: &Control) {
    await_requests(proxy, 200.0);
    control.set_removed(true);
    await_usable(proxy, 0.0);
    await_requests(proxy, 100.0);
    control.set_removed(false);
    await_usable(proxy, 1.0);
}

fn assert_errors_of_the_hsm_only(answers: &[Answer], recovered: Instant) {
    for Answer { at, status, error } in answers {
        let error = error.as_deref().unwrap_or("nothing");
        let retryable = ["InternalException", "DependencyTimeoutException"].contains(&error);
        let right = *status == 200 || (retryable && [500, 503].contains(status));
        assert!(right, "{status} {error} while the HSM was away");
        assert!(
            *status == 200 || *at < recovered,
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
        let recovered = Instant::now();
        await_requests(&proxy, 100.0);
        drop(stop);
        let answers: Vec<Answer> = threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect();
        assert_errors_of_the_hsm_only(&answers, recovered);
    });
    eventually("as many sessions as before", || {
        (control.open_sessions() == sessions).then_some(())
    });
    // The first outage may need more memory. Further outages must not.
    let growth = memory[2].saturating_sub(memory[0]);
    assert!(
        growth < 8 << 10,
        "resident KiB after each outage: {memory:?}"
    );
}

/// Checks that the proxy recovers from the event with the next calls, and that the number of sessions is unchanged.
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
    // Sessions are reopened at the next use, the session of the health monitor at the next check.
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
fn lost_sessions_are_reopened() {
    recovers_from("they were lost", Control::lose_sessions);
}

#[test]
fn a_lost_login_is_repeated() {
    recovers_from("the login was lost", Control::lose_login);
}

#[test]
fn objects_with_stale_handles_are_found_again() {
    recovers_from("handles went stale", Control::stale_handles);
}

#[test]
fn a_finalized_module_is_initialized_again() {
    recovers_from("the module was finalized", Control::finalize_behind_back);
}

#[test]
fn recovery_in_place_fails_no_request() {
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
        // The first request causes the recovery, and the second one uses its result.
        for _ in 0..2 {
            let encrypted = payments.encrypt("orders", b"x");
            let decrypt = decrypt_body(&encrypted);
            payments.call("decrypt", "orders", &decrypt).ok();
        }
        let opened = proxy.metric("xks_hsm_open_attempts_total", &[("hsm", "hsm-a")]);
        assert_eq!(opened, Some(1.0), "{what} were lost, not the device");
    }
}

/// Each session that lost its login logs in again. They do it one after the other: two logins at a time would end the worker.
#[test]
fn sessions_that_lose_their_login_together_log_in_one_after_the_other() {
    let (proxy, control) = faulty();
    let decrypt = decrypt_body(&proxy.caller(&PAYMENTS).encrypt("orders", b"x"));
    control.set_delay(Function::Login, 100_000);
    for lose in [Control::lose_login, Control::lose_sessions] {
        let logins = control.calls(Function::Login);
        lose(&control);
        std::thread::scope(|scope| {
            for _ in 0..control.open_sessions() {
                scope.spawn(|| proxy.caller(&PAYMENTS).call("decrypt", "orders", &decrypt));
            }
        });
        await_service(&proxy.caller(&PAYMENTS), &decrypt);
        assert!(control.calls(Function::Login) > logins);
    }
    let opened = proxy.metric("xks_hsm_open_attempts_total", &[("hsm", "hsm-a")]);
    assert_eq!(opened, Some(1.0), "the worker was replaced");
}
