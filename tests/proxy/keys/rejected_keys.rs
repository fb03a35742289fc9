//! An HSM that rejects one key. Requests for other keys are not affected.

use std::time::Instant;

use serde_json::Value;

use crate::harness::control::{Control, FOREVER, Function};
use crate::harness::metrics::eventually;
use crate::harness::outage::{faulty_with, two_faulty};
use crate::harness::setup::Setup;
use crate::harness::wire::{base64, decrypt_body, encrypt_body, plain_body, set};
use crate::harness::{PAYMENTS, Proxy};

const CKR_DEVICE_ERROR: u64 = 0x30;
const CKR_MECHANISM_INVALID: u64 = 0x70;
const CKR_VENDOR_DEFINED: u64 = 0x8000_0000;

/// Disables health checks, so that only requests get the injected errors.
fn without_checks(setup: &mut Setup) {
    setup.set("health", "interval", "\"45s\"");
}

/// A token without a health key.
fn without_health_key(setup: &mut Setup) {
    without_checks(setup);
    setup.set("hsm", "health_key", "\"no-such-key\"");
}

fn encrypt(proxy: &Proxy, key: &str) -> (u16, Value) {
    let response = proxy
        .caller(&PAYMENTS)
        .call("encrypt", key, &encrypt_body(b"x"));
    (response.status, response.json()["errorName"].clone())
}

/// The number of times that an HSM stopped serving.
fn closings(proxy: &Proxy) -> f64 {
    let transitions = |to| proxy.metric("xks_hsm_transitions_total", &[("to", to)]);
    // The first start is also a transition to `probing`.
    transitions("probing").unwrap_or_default() + transitions("failed").unwrap_or_default()
}

fn failures(proxy: &Proxy, code: &str) -> f64 {
    let count = proxy.metric("xks_hsm_key_failures_total", &[("code", code)]);
    count.unwrap_or_default()
}

fn lines_about_rejection(proxy: &Proxy) -> usize {
    let log = proxy.daemon.log();
    let is_one = |line: &&String| line.contains("the HSM rejects a key");
    log.iter().filter(is_one).count()
}

#[test]
fn only_the_rejected_key_fails_with_few_calls_and_it_serves_after_correction() {
    let (proxy, control) = faulty_with(without_checks);
    let before = closings(&proxy);
    control.fail_only_key("orders");
    control.fail_next(Function::EncryptInit, CKR_MECHANISM_INVALID, FOREVER);
    let start = Instant::now();
    const REQUESTS: u32 = 200;
    for _ in 0..REQUESTS {
        assert_eq!(
            encrypt(&proxy, "orders"),
            (400, "InvalidKeyUsageException".into())
        );
        assert_eq!(encrypt(&proxy, "ledger").0, 200);
    }
    let attempts = start.elapsed().as_secs() + 2;
    let calls = control.injected(Function::EncryptInit);
    assert!(calls <= 4 * attempts, "{calls} calls in {attempts} s");
    assert_eq!(closings(&proxy), before, "the HSM was closed");
    assert_eq!(
        failures(&proxy, "CKR_MECHANISM_INVALID"),
        f64::from(REQUESTS)
    );
    assert_eq!(lines_about_rejection(&proxy), 1);
    let metadata = proxy
        .caller(&PAYMENTS)
        .call("metadata", "orders", &plain_body("metadata"));
    assert_eq!(metadata.status, 200);
    control.clear_faults();
    eventually("the key that was corrected", || {
        (encrypt(&proxy, "orders").0 == 200).then_some(())
    });
    let accepted = |line: &String| line.contains("the HSM accepts the key again");
    eventually("a line about the correction", || {
        proxy.daemon.log().iter().any(accepted).then_some(())
    });
}

#[test]
fn a_rejected_key_is_tried_on_one_other_hsm_and_both_stay_open() {
    let (proxy, a, b) = two_faulty(without_checks);
    let before = closings(&proxy);
    let reject = |device: &Control| {
        device.fail_only_key("orders");
        device.fail_next(Function::Encrypt, CKR_VENDOR_DEFINED | 7, FOREVER);
    };
    reject(&a);
    for _ in 0..50 {
        assert_eq!(encrypt(&proxy, "orders").0, 200, "hsm-b accepts the key");
    }
    reject(&b);
    let tries = || proxy.metric("xks_hsm_second_tries_total", &[("why", "failed")]);
    let tries_before = tries().unwrap_or_default();
    for _ in 0..50 {
        assert_eq!(encrypt(&proxy, "orders"), (500, "InternalException".into()));
        assert_eq!(encrypt(&proxy, "ledger").0, 200);
    }
    assert_eq!(tries().unwrap_or_default() - tries_before, 50.0);
    assert_eq!(closings(&proxy), before, "an HSM was closed");
    assert!(failures(&proxy, "vendor") >= 100.0);
}

/// Some HSMs have unusual codes for a wrong tag. Invalid ciphertexts of one caller must not make the key unavailable to others.
#[test]
fn invalid_ciphertexts_do_not_cause_a_rejection_of_the_key() {
    let (proxy, control) = faulty_with(without_checks);
    let payments = proxy.caller(&PAYMENTS);
    let good = decrypt_body(&payments.encrypt("orders", b"x"));
    let damaged = set(&good, "authenticationTag", base64([0; 16]));
    control.set_bad_tag_code(CKR_DEVICE_ERROR);
    for _ in 0..20 {
        let response = payments.call("decrypt", "orders", &damaged);
        response.assert_error(500, "InternalException");
        payments.call("decrypt", "orders", &good).ok();
    }
}

#[test]
fn without_a_health_key_a_failure_of_one_key_affects_only_this_key() {
    let (proxy, control) = faulty_with(without_health_key);
    let before = closings(&proxy);
    control.fail_only_key("orders");
    control.fail_next(Function::Encrypt, CKR_DEVICE_ERROR, FOREVER);
    for _ in 0..20 {
        assert_eq!(encrypt(&proxy, "orders"), (500, "InternalException".into()));
        assert_eq!(encrypt(&proxy, "ledger").0, 200);
    }
    assert_eq!(closings(&proxy), before, "the HSM was closed");
}

#[test]
fn without_a_health_key_failures_of_two_keys_are_attributed_to_the_hsm() {
    let (proxy, control) = faulty_with(without_health_key);
    let before = closings(&proxy);
    control.fail_next(Function::Encrypt, CKR_DEVICE_ERROR, FOREVER);
    encrypt(&proxy, "orders");
    assert_eq!(closings(&proxy), before, "one key is not sufficient");
    eventually("two keys that fail within a second", || {
        encrypt(&proxy, "orders");
        encrypt(&proxy, "ledger");
        (closings(&proxy) > before).then_some(())
    });
    control.clear_faults();
    eventually("service", || {
        (encrypt(&proxy, "orders").0 == 200).then_some(())
    });
}

/// The alert for the limit of NIST SP 800-38D uses this count.
#[test]
fn every_ciphertext_of_an_hsm_is_counted_also_if_it_is_not_used() {
    let (proxy, a, b) = two_faulty(|setup| {
        without_checks(setup);
        setup.set("server.limits", "request_timeout", "\"1s\"");
    });
    let made = || a.calls(Function::Encrypt) + b.calls(Function::Encrypt);
    let labels = [("store", "payments"), ("key", "orders")];
    let counted = || {
        proxy
            .metric("xks_key_encryptions_total", &labels)
            .unwrap_or_default()
    };
    // Proofs also make ciphertexts.
    for hsm in ["hsm-a", "hsm-b"] {
        proxy.daemon.wait_for("the end of the proofs", |line| {
            line["message"] == "the keys of the configuration were tried" && line["hsm"] == hsm
        });
    }
    let before = made();
    let is_exact = |requests: u64| {
        eventually("the count of the HSMs' ciphertexts", || {
            let made = made() - before;
            (made >= requests && counted() == made as f64).then_some(made)
        })
    };
    encrypt(&proxy, "orders");
    assert_eq!(is_exact(1), 1);
    // Hedged requests: both HSMs make a ciphertext, and one is used.
    for device in [&a, &b] {
        device.set_delay(Function::Encrypt, 700_000);
    }
    assert_eq!(encrypt(&proxy, "orders").0, 200);
    assert_eq!(is_exact(3), 3);
    // The caller has left when the ciphertext is made. The call takes less time than `hang_timeout` (2 s).
    for device in [&a, &b] {
        device.set_delay(Function::Encrypt, 1_500_000);
    }
    assert_eq!(encrypt(&proxy, "orders").0, 503);
    let made = is_exact(4);
    assert!((4..=5).contains(&made), "{made}");
}
