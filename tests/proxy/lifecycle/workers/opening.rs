//! Workers that end or hang before they serve, or while they are replaced.

use std::fs;
use std::thread;

use rustix::process::Signal;

use super::load::under_load;
use super::{only_worker, successor, workers_of};
use crate::harness::control::{Control, Function};
use crate::harness::metrics::eventually;
use crate::harness::outage::faulty_with;
use crate::harness::process::{runs, signal};
use crate::harness::wire::{decrypt_body, encrypt_body};
use crate::harness::{PAYMENTS, Proxy};

/// Kills the first worker inside this function. The second worker serves.
fn killed_inside(function: Function) {
    let mut control: Option<Control> = None;
    let proxy = Proxy::launch(|setup| {
        let device = setup.faulty_module();
        device.hang_next(function);
        control = Some(device);
    });
    let device = control.unwrap();
    eventually("the worker inside the function", || {
        (device.stuck(function) == 1).then_some(())
    });
    let worker = only_worker(&proxy, "hsm-a");
    signal(worker, Signal::KILL);
    proxy.await_ready();
    proxy.caller(&PAYMENTS).encrypt("orders", b"x");
    successor(&proxy, "hsm-a", worker);
}

#[test]
fn a_worker_that_is_killed_while_it_opens_is_replaced() {
    for function in [
        Function::Initialize,
        Function::OpenSession,
        Function::FindObjects,
    ] {
        killed_inside(function);
    }
}

/// The interrupted login may have used up an attempt at the PIN, so only one more is made.
#[test]
fn a_worker_that_is_killed_while_it_logs_in_is_replaced_once() {
    killed_inside(Function::Login);
}

#[test]
fn a_worker_that_is_killed_while_it_probes_is_replaced() {
    for function in [Function::EncryptInit, Function::Encrypt, Function::Decrypt] {
        killed_inside(function);
    }
}

/// A replaced worker whose last job hangs is killed after a while. No request fails.
#[test]
fn a_worker_that_drains_is_killed_when_it_hangs() {
    let (proxy, device) = faulty_with(|setup| setup.set("hsm", "hang_timeout", "\"60s\""));
    let worker = only_worker(&proxy, "hsm-a");
    let payments = proxy.caller(&PAYMENTS);
    thread::scope(|scope| {
        device.hang_next(Function::EncryptInit);
        scope.spawn(|| payments.call("encrypt", "orders", &encrypt_body(b"x")));
        eventually("a job inside", || {
            (device.stuck(Function::EncryptInit) == 1).then_some(())
        });
        // The file of a library that stays the same for five seconds is loaded by another worker.
        let config = proxy
            .setup
            .toml()
            .replacen("sessions = 4", "sessions = 3", 1);
        proxy.setup.replace_by(&config);
        signal(proxy.daemon.id(), Signal::HUP);
        let tally = under_load(&proxy, 2, |tally| {
            eventually("the end of the worker that drains", || {
                (!runs(worker)).then_some(())
            });
            let before = tally.done();
            eventually("requests on the other one", || {
                (tally.done() > before + 100).then_some(())
            });
        });
        tally.assert_none_failed();
    });
    assert_eq!(workers_of(proxy.daemon.id(), "hsm-a").len(), 1);
    device.clear_faults();
}

/// A worker is killed while it drains. The new worker does its last job.
#[test]
fn the_last_job_of_a_worker_that_is_killed_while_it_drains_is_done() {
    let (proxy, device) = faulty_with(|_| {});
    let worker = only_worker(&proxy, "hsm-a");
    let payments = proxy.caller(&PAYMENTS);
    thread::scope(|scope| {
        device.hang_next(Function::EncryptInit);
        let last = scope.spawn(|| payments.call("encrypt", "orders", &encrypt_body(b"kept")));
        eventually("a job inside", || {
            (device.stuck(Function::EncryptInit) == 1).then_some(())
        });
        let config = proxy
            .setup
            .toml()
            .replacen("sessions = 4", "sessions = 3", 1);
        proxy.setup.replace_by(&config);
        signal(proxy.daemon.id(), Signal::HUP);
        proxy.daemon.wait_for("the new settings", |line| {
            line["message"] == "the new settings of the HSM are active"
        });
        signal(worker, Signal::KILL);
        let encrypted = last.join().unwrap().ok();
        payments
            .call("decrypt", "orders", &decrypt_body(&encrypted))
            .ok();
    });
    device.clear_faults();
}

/// A token has sessions for one worker only: the old worker ends before the new one serves.
#[test]
fn a_token_without_room_for_two_workers_is_served_by_one_after_the_other() {
    let (proxy, device) = faulty_with(|setup| setup.set("hsm", "sessions", "1"));
    let worker = only_worker(&proxy, "hsm-a");
    // The faulty module counts per process, so its limit alone would allow both workers.
    device.fail_next(Function::OpenSession, CKR_SESSION_COUNT, 1);
    let config = proxy
        .setup
        .toml()
        .replacen("sessions = 1", "sessions = 2", 1);
    proxy.setup.replace_by(&config);
    signal(proxy.daemon.id(), Signal::HUP);
    successor(&proxy, "hsm-a", worker);
    proxy.caller(&PAYMENTS).encrypt("orders", b"x");
    device.clear_faults();
}

/// A token allows one session only, which the health check uses. No job is served, the log has an error, and the token is opened again later.
#[test]
fn a_token_with_one_session_is_an_error_in_the_log() {
    let mut control: Option<Control> = None;
    let proxy = Proxy::launch(|setup| {
        let device = setup.faulty_module();
        device.set_session_limit(1);
        control = Some(device);
    });
    proxy.daemon.wait_for("the reason", |line| {
        let error = line["error"].as_str().unwrap_or_default();
        line["message"] == "the HSM cannot be opened" && error.contains("CKR_SESSION_COUNT")
    });
    control.unwrap().clear_faults();
    proxy.await_ready();
    proxy.caller(&PAYMENTS).encrypt("orders", b"x");
}

const CKR_SESSION_COUNT: u64 = 0xB1;

/// The PIN file is missing when a worker is replaced. The HSM serves again when the file exists again.
#[test]
fn an_hsm_without_its_pin_file_serves_again_when_the_file_is_back() {
    let (proxy, _device) = faulty_with(|_| {});
    let pin = proxy.setup.token.pin_file();
    let kept = pin.with_extension("kept");
    fs::rename(&pin, &kept).unwrap();
    signal(only_worker(&proxy, "hsm-a"), Signal::KILL);
    proxy.daemon.wait_for("the reason", |line| {
        let error = line["error"].as_str().unwrap_or_default();
        line["message"] == "the HSM cannot be opened" && error.contains("PIN")
    });
    fs::rename(&kept, &pin).unwrap();
    proxy.await_metric("xks_hsm_usable", &[("hsm", "hsm-a")], |usable| {
        usable == 1.0
    });
    proxy.caller(&PAYMENTS).encrypt("orders", b"x");
}
