//! Two HSMs with the same keys. If one fails, the other one serves, and no request fails.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::harness::control::{Control, FOREVER, Function};
use crate::harness::metrics::eventually;
use crate::harness::outage::two_faulty;
use crate::harness::wire::{bytes, decrypt_body, encrypt_body};
use crate::harness::{PAYMENTS, Proxy};

const CKR_GENERAL_ERROR: u64 = 0x05;
const CKR_DEVICE_ERROR: u64 = 0x30;

/// Encrypts and decrypts on a few connections until `stop` is set. Every request must succeed.
fn load(proxy: &Proxy, stop: &AtomicBool) -> usize {
    let payments = proxy.caller(&PAYMENTS);
    let mut connection = proxy.connect();
    let mut done = 0;
    while !stop.load(Ordering::Relaxed) {
        let body = encrypt_body(b"kept").to_string();
        let encrypted = connection
            .exchange(&payments.request("encrypt", "orders", body))
            .ok();
        let body = decrypt_body(&encrypted).to_string();
        let opened = connection
            .exchange(&payments.request("decrypt", "orders", body))
            .ok();
        assert_eq!(bytes(&opened, "plaintext"), b"kept");
        done += 1;
    }
    done
}

/// Checks that a fault of one device fails no request, and that the device serves again after the fault.
fn survives(what: &str, happen: impl Fn(&Control)) {
    let (proxy, a, b) = two_faulty(|_| {});
    let stop = AtomicBool::new(false);
    let served_by = |hsm: &str| {
        let labels = [("hsm", hsm), ("operation", "encrypt")];
        proxy
            .metric("xks_hsm_device_seconds_count", &labels)
            .unwrap_or_default()
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| load(&proxy, &stop)))
            .collect();
        let served = || served_by("hsm-a") + served_by("hsm-b");
        for device in [&a, &b] {
            let before = served();
            happen(device);
            eventually("requests on the other device", || {
                (served() > before + 150.0).then_some(())
            });
            device.clear_faults();
            for hsm in ["hsm-a", "hsm-b"] {
                proxy.await_metric("xks_hsm_usable", &[("hsm", hsm)], |usable| usable == 1.0);
            }
        }
        let before = (served_by("hsm-a"), served_by("hsm-b"));
        eventually("both devices in rotation", || {
            (served_by("hsm-a") > before.0 && served_by("hsm-b") > before.1).then_some(())
        });
        stop.store(true, Ordering::Relaxed);
        let done = threads.into_iter().map(|thread| thread.join().expect(what));
        assert!(done.sum::<usize>() > 100, "{what}");
    });
}

#[test]
fn a_removed_device_fails_no_request() {
    survives("removed", |device| device.set_removed(true));
}

#[test]
fn a_hanging_device_fails_no_request() {
    survives("hanging", |device| {
        for function in [Function::Encrypt, Function::Decrypt] {
            device.hang(function, true);
        }
    });
}

#[test]
fn a_device_with_errors_fails_no_request() {
    survives("failing", |device| {
        for function in [Function::Encrypt, Function::Decrypt] {
            device.fail_next(function, CKR_DEVICE_ERROR, FOREVER);
        }
    });
    survives("failing ambiguously", |device| {
        for function in [Function::EncryptInit, Function::Decrypt] {
            device.fail_next(function, CKR_GENERAL_ERROR, FOREVER);
        }
    });
}

#[test]
fn a_device_that_becomes_slow_gets_few_requests() {
    survives("slow", |device| device.set_delay(Function::Encrypt, 30_000));
}

#[test]
fn the_health_response_lists_each_device() {
    let (proxy, a, _b) = two_faulty(|_| {});
    let payments = proxy.caller(&PAYMENTS);
    let states = || {
        let details = payments.health()["ekmFleetDetails"].clone();
        let details = details.as_array().unwrap().clone();
        let state = |detail: &serde_json::Value| {
            let text = |field: &str| detail[field].as_str().unwrap().to_owned();
            (text("id"), text("healthStatus"))
        };
        details.iter().map(state).collect::<Vec<_>>()
    };
    let expect = |a: &str, b: &str| {
        let expected = [
            ("hsm-a".to_owned(), a.to_owned()),
            ("hsm-b".to_owned(), b.to_owned()),
        ];
        eventually("each device's state", || {
            (states() == expected).then_some(())
        });
    };
    expect("ACTIVE", "ACTIVE");
    a.set_removed(true);
    expect("UNAVAILABLE", "ACTIVE");
    assert_eq!(proxy.admin("/readyz").status, 200, "one is enough");
    a.clear_faults();
    expect("ACTIVE", "ACTIVE");
}

#[test]
fn two_failed_devices_at_the_start_are_reported_and_recover() {
    let mut controls = Vec::new();
    let proxy = Proxy::launch(|setup| {
        controls = vec![setup.faulty_module(), setup.second_faulty_module()];
        controls
            .iter()
            .for_each(|control| control.set_removed(true));
    });
    let payments = proxy.caller(&PAYMENTS);
    assert_eq!(proxy.admin("/readyz").status, 503);
    let response = payments.call("encrypt", "orders", &encrypt_body(b"x"));
    response.assert_error(500, "InternalException");
    controls.iter().for_each(Control::clear_faults);
    proxy.await_ready();
    payments.encrypt("orders", b"x");
}

#[test]
fn hedged_requests_and_failovers_are_counted_by_reason() {
    let (proxy, a, b) = two_faulty(|_| {});
    let payments = proxy.caller(&PAYMENTS);
    // Both are slow, because the proxy may choose either one first.
    for device in [&a, &b] {
        device.set_delay(Function::Encrypt, 1_000_000);
    }
    payments.encrypt("orders", b"x");
    let slow = proxy.metric("xks_hsm_second_tries_total", &[("why", "slow")]);
    assert_eq!(slow, Some(1.0));
}
