//! A single HSM that hangs: it fails, and after it works again everything is as before.

use std::thread;

use crate::harness::control::Function;
use crate::harness::metrics::eventually;
use crate::harness::outage::{await_service, faulty_with};
use crate::harness::process::threads;
use crate::harness::wire::{decrypt_body, encrypt_body};
use crate::harness::{PAYMENTS, Proxy};

#[test]
fn a_hang_fails_the_device_until_it_works_again_and_costs_no_threads_of_the_front() {
    let (proxy, control) =
        faulty_with(|setup| setup.set("server.limits", "request_timeout", "\"1s\""));
    let payments = proxy.caller(&PAYMENTS);
    let decrypt = decrypt_body(&payments.encrypt("orders", b"x"));
    let front = proxy.daemon.front();
    let (before, sessions) = (threads(front), control.open_sessions());
    control.hang(Function::Encrypt, true);
    let failed = || proxy.metric("xks_hsm_usable", &[("hsm", "hsm-a")]) == Some(0.0);
    eventually("the device failed", || {
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let response = payments.call("encrypt", "orders", &encrypt_body(b"x"));
                    assert!([429, 500, 503].contains(&response.status), "{response:?}");
                });
            }
        });
        failed().then_some(())
    });
    assert_eq!(proxy.admin("/livez").status, 200);
    payments.health();
    let lost = threads(front).saturating_sub(before);
    assert!(
        lost <= 12,
        "{lost} more threads than before: there is a cap"
    );
    control.hang(Function::Encrypt, false);
    await_service(&payments, &decrypt);
    eventually("threads as before", || {
        (threads(front) <= before).then_some(())
    });
    eventually("sessions as before", || {
        (control.open_sessions() == sessions).then_some(())
    });
    proxy.await_metric("xks_hsm_lost_threads", &[("hsm", "hsm-a")], |lost| {
        lost == 0.0
    });
}

#[test]
fn a_hang_while_opening_delays_neither_start_nor_stop() {
    let mut control = None;
    let mut proxy = Proxy::launch(|setup| {
        let device = setup.faulty_module();
        device.hang(Function::Login, true);
        control = Some(device);
    });
    assert_eq!(proxy.admin("/livez").status, 200);
    assert_eq!(proxy.admin("/readyz").status, 503);
    let payments = proxy.caller(&PAYMENTS);
    let response = payments.call("encrypt", "orders", &encrypt_body(b"x"));
    response.assert_error(500, "InternalException");
    control.unwrap().hang(Function::Login, false);
    proxy.await_ready();
    payments.encrypt("orders", b"x");
    proxy.daemon.signal(rustix::process::Signal::TERM);
    assert!(proxy.daemon.wait().success());
}

#[test]
fn excess_requests_to_a_slow_device_are_rejected_at_once() {
    let (proxy, control) = faulty_with(|setup| {
        setup.set("server.limits", "request_timeout", "\"5s\"");
        // All connections wait for their first request, from one address.
        setup.set("server.limits", "max_unverified_per_source", "128");
        setup.set("hsm", "sessions", "1");
        // Without health checks, only requests change the mean service time.
        setup.set("health", "interval", "\"45s\"");
    });
    let payments = proxy.caller(&PAYMENTS);
    let mut requests: Vec<_> = (0..64)
        .map(|_| {
            let body = encrypt_body(b"x").to_string();
            let request = payments.request("encrypt", "orders", body);
            (proxy.connect(), request.bytes())
        })
        .collect();
    // Ten calls fit into the deadline, of which the proxy keeps an eighth as a reserve.
    control.set_delay(Function::Encrypt, 500_000);
    payments.encrypt("orders", b"sets the mean");
    for (connection, bytes) in &mut requests {
        connection.send(bytes).unwrap();
    }
    let statuses: Vec<u16> = requests
        .iter_mut()
        .map(|(connection, _)| connection.response().expect("an answer").status)
        .collect();
    let count = |wanted| statuses.iter().filter(|status| **status == wanted).count();
    assert!(count(200) >= 5 && count(429) >= 20, "{statuses:?}");
    assert!(
        count(503) <= 2,
        "few requests may time out in the queue: {statuses:?}"
    );
}

#[test]
fn opening_the_token_times_out_after_open_timeout() {
    let mut control = None;
    let proxy = Proxy::launch(|setup| {
        let device = setup.faulty_module();
        // Longer than the configured timeout, and shorter than the default.
        device.set_delay(Function::Login, 5_000_000);
        control = Some(device);
        setup.set("hsm", "open_timeout", "\"1s\"");
    });
    proxy.daemon.wait_for("the hanging start", |line| {
        line["message"] == "the HSM cannot be opened" && line["error"] == "the HSM hangs"
    });
    control.unwrap().clear_faults();
    proxy.await_ready();
    proxy.caller(&PAYMENTS).encrypt("orders", b"x");
}

#[test]
fn a_call_counts_as_hanging_after_hang_timeout() {
    let (proxy, control) = faulty_with(|setup| setup.set("hsm", "hang_timeout", "\"100ms\""));
    // Longer than the configured timeout, and shorter than the default.
    control.set_delay(Function::Encrypt, 1_500_000);
    let payments = proxy.caller(&PAYMENTS);
    payments.call("encrypt", "orders", &encrypt_body(b"x"));
    proxy.daemon.wait_for("the hanging call", |line| {
        line["message"] == "sessions hang inside the HSM; starting another worker"
    });
    control.clear_faults();
    payments.encrypt("orders", b"x");
}
