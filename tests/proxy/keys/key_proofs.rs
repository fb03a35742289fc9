//! Each key is proved once. A key that cannot do what KMS needs is rejected and logged, without an effect on other keys.

use serde_json::{Value, json};

use crate::harness::control::Function;
use crate::harness::metrics::eventually;
use crate::harness::outage::faulty_with;
use crate::harness::setup::Setup;
use crate::harness::wire::{bytes, decrypt_body, encrypt_body, plain_body, set};
use crate::harness::{PAYMENTS, Proxy};

/// The number of keys of the store `payments` with unsuitable attributes: two are too short, and three may not both encrypt and decrypt.
const UNUSABLE: f64 = 5.0;

/// The number of missing keys of the store `payments`: one is on no HSM, and one has two objects.
const MISSING: f64 = 2.0;

/// A key that permits encryption and decryption, but not with AES-GCM.
fn cbc_only(setup: &mut Setup) {
    let options = ["--label", "absent", "--cbc-only"];
    setup.token.tool("key", &options);
    setup.set("health", "interval", "\"1s\"");
}

/// Adds many keys to the last store of the configuration, `closed`.
fn expect_bulk(setup: &mut Setup, keys: u64) {
    let count = keys.to_string();
    let options = ["--label", "bulk", "--count", &count];
    setup.token.tool("key", &options);
    for number in 1..=keys {
        setup.append(&format!("[[key_store.key]]\nid = \"bulk-{number:04}\"\n"));
    }
}

#[track_caller]
fn await_gauge(proxy: &Proxy, name: &str, keys: f64) {
    let labels = [("store", "payments"), ("hsm", "hsm-a")];
    proxy.await_metric(name, &labels, |n| n == keys);
}

/// Waits for a log line about this key, and returns it.
#[track_caller]
fn line_of(proxy: &Proxy, message: &str, label: &str) -> Value {
    let key = format!("label {label:?}");
    proxy.daemon.wait_for(message, |line| {
        line["message"] == message && line["key"] == *key
    })
}

#[test]
fn a_key_without_aes_gcm_is_rejected_and_other_keys_are_not_affected() {
    let proxy = Proxy::start_with(cbc_only);
    await_gauge(&proxy, "xks_key_store_keys_unusable", UNUSABLE + 1.0);
    let line = line_of(&proxy, "the key cannot do what KMS needs", "absent");
    let reason = line["reason"].as_str().unwrap();
    let code = "CKR_MECHANISM_INVALID (0x70) in C_EncryptInit";
    assert!(reason.contains(code), "{reason}");
    let payments = proxy.caller(&PAYMENTS);
    let encrypted = payments.encrypt("orders", b"good");
    for _ in 0..20 {
        for (operation, body) in [
            ("encrypt", encrypt_body(b"x")),
            ("decrypt", decrypt_body(&encrypted)),
        ] {
            let answer = payments.call(operation, "absent", &body);
            answer.assert_error(400, "InvalidKeyUsageException");
        }
        let opened = payments.call("decrypt", "orders", &decrypt_body(&encrypted));
        assert_eq!(bytes(&opened.ok(), "plaintext"), b"good");
    }
    let described = payments.call("metadata", "absent", &plain_body("metadata"));
    let described = described.ok();
    assert_eq!(described["keyUsage"], json!([]), "{described}");
    assert_eq!(described["keySpec"], "AES_256");
    let opened = [("hsm", "hsm-a"), ("outcome", "opened")];
    let openings = proxy.metric("xks_hsm_open_attempts_total", &opened);
    assert_eq!(openings, Some(1.0), "the device was never reopened");
}

#[test]
fn a_corrected_key_serves_again() {
    let proxy = Proxy::start_with(cbc_only);
    await_gauge(&proxy, "xks_key_store_keys_unusable", UNUSABLE + 1.0);
    let (token, payments) = (&proxy.setup.token, proxy.caller(&PAYMENTS));
    token.tool("delete-key", &["--label", "absent"]);
    token.tool("key", &["--label", "absent"]);
    eventually("the corrected key", || {
        let answer = payments.call("encrypt", "absent", &encrypt_body(b"x"));
        (answer.status == 200).then_some(())
    });
    await_gauge(&proxy, "xks_key_store_keys_unusable", UNUSABLE);
    // Conversely, an object that replaces a proved one needs a new proof.
    token.tool("delete-key", &["--label", "absent"]);
    token.tool("key", &["--label", "absent", "--cbc-only"]);
    await_gauge(&proxy, "xks_key_store_keys_unusable", UNUSABLE + 1.0);
}

#[test]
fn a_key_that_a_reload_adds_is_proved_at_once() {
    let mut proxy = Proxy::start_with(|setup| {
        // Without health checks, which would also find the key.
        setup.set("health", "interval", "\"45s\"");
        setup.rename_key("absent", "renamed");
        setup
            .token
            .tool("key", &["--label", "absent", "--cbc-only"]);
    });
    await_gauge(&proxy, "xks_key_store_keys_unusable", UNUSABLE);
    proxy
        .setup
        .append("[[key_store.key]]\nid = \"late\"\nlabel = \"absent\"\n");
    proxy.setup.replace();
    let line = line_of(&proxy, "the key cannot do what KMS needs", "absent");
    assert_eq!(line["hsm"], "hsm-a");
}

#[test]
fn no_proof_is_repeated_after_reopening_the_device() {
    const KEYS: u64 = 60;
    let (proxy, control) = faulty_with(|setup| expect_bulk(setup, KEYS));
    let encryptions = || control.calls(Function::EncryptInit);
    let checks = || {
        let ok = [("hsm", "hsm-a"), ("outcome", "ok")];
        proxy.metric("xks_hsm_health_checks_total", &ok).unwrap()
    };
    eventually("a proof of each key", || {
        (encryptions() > KEYS).then_some(())
    });
    let before = encryptions();
    control.set_removed(true);
    proxy.await_metric("xks_hsm_usable", &[("hsm", "hsm-a")], |usable| {
        usable == 0.0
    });
    control.clear_faults();
    let opened = [("hsm", "hsm-a"), ("outcome", "opened")];
    proxy.await_metric("xks_hsm_open_attempts_total", &opened, |n| n >= 2.0);
    let since = checks();
    eventually("three checks", || (checks() >= since + 3.0).then_some(()));
    let again = encryptions() - before;
    assert!(again < KEYS, "{again} encryptions");
}

#[test]
fn a_second_key_of_a_name_is_reported_and_the_first_one_stays_in_use() {
    let (proxy, control) = faulty_with(|_| {});
    await_gauge(&proxy, "xks_key_store_keys_missing", MISSING);
    line_of(&proxy, "several keys have this name; keep one", "ambiguous");
    let payments = proxy.caller(&PAYMENTS);
    let encrypted = payments.encrypt("orders", b"kept");
    let second = ["--label", "orders", "--duplicate"];
    proxy.setup.token.tool("key", &second);
    await_gauge(&proxy, "xks_key_store_keys_missing", MISSING + 1.0);
    let line = line_of(&proxy, "several keys have this name; keep one", "orders");
    assert_eq!(line["level"], "WARN");
    let opened = payments.call("decrypt", "orders", &decrypt_body(&encrypted));
    assert_eq!(bytes(&opened.ok(), "plaintext"), b"kept");
    let other = payments.encrypt("orders", b"other");
    let opened = payments.call("decrypt", "orders", &decrypt_body(&other));
    assert_eq!(bytes(&opened.ok(), "plaintext"), b"other");
    control.set_removed(true);
    proxy.await_metric("xks_hsm_usable", &[("hsm", "hsm-a")], |usable| {
        usable == 0.0
    });
    control.clear_faults();
    proxy.await_metric("xks_hsm_usable", &[("hsm", "hsm-a")], |usable| {
        usable == 1.0
    });
    let rejected = payments.call("encrypt", "orders", &encrypt_body(b"x"));
    rejected.assert_error(400, "InvalidStateException");
}

#[test]
fn a_second_key_is_found_by_the_next_check_on_a_token_with_many_keys() {
    let (proxy, _control) = faulty_with(|setup| expect_bulk(setup, 80));
    let labels = [("store", "closed"), ("hsm", "hsm-a")];
    let missing = || proxy.metric("xks_key_store_keys_missing", &labels);
    eventually("every key", || (missing() == Some(0.0)).then_some(()));
    let second = ["--label", "bulk-0080", "--duplicate"];
    proxy.setup.token.tool("key", &second);
    let ok = [("hsm", "hsm-a"), ("outcome", "ok")];
    let name = "xks_hsm_health_checks_total";
    let since = proxy.metric(name, &ok).unwrap();
    // A check is counted before it searches for new keys.
    proxy.await_metric(name, &ok, |n| n >= since + 3.0);
    assert_eq!(missing(), Some(1.0), "not by a search for each key");
}

#[test]
fn a_key_whose_value_can_leave_the_hsm_is_reported_once() {
    let proxy = Proxy::start_with(|setup| {
        let options = ["--label", "absent", "--extractable"];
        setup.token.tool("key", &options);
        setup.set("health", "interval", "\"200ms\"");
    });
    let message = "the value of the key can leave the HSM";
    let line = line_of(&proxy, message, "absent");
    assert_eq!(line["why"], "it is extractable");
    let checks = [("hsm", "hsm-a"), ("outcome", "ok")];
    proxy.await_metric("xks_hsm_health_checks_total", &checks, |n| n >= 5.0);
    let log = proxy.daemon.log();
    let lines = log.iter().filter(|line| line.contains(message)).count();
    assert_eq!(lines, 1);
    proxy.caller(&PAYMENTS).encrypt("absent", b"x");
}

#[test]
fn a_key_that_permits_one_operation_is_logged_and_serves_that_operation() {
    let proxy = Proxy::start();
    for (label, reason) in [
        ("encrypt-only", "it may not decrypt (CKA_DECRYPT)"),
        ("decrypt-only", "it may not encrypt (CKA_ENCRYPT)"),
        ("aes128", "it is AES-128, not AES-256"),
    ] {
        let line = line_of(&proxy, "the key cannot do what KMS needs", label);
        assert_eq!(line["reason"], reason, "{label}");
    }
    let payments = proxy.caller(&PAYMENTS);
    // Without CDIV, the permitted operation succeeds.
    payments.encrypt("encrypt-only", b"x");
    let verified = set(
        &encrypt_body(b"x"),
        "ciphertextDataIntegrityValueAlgorithm",
        "SHA_256",
    );
    for key in ["encrypt-only", "decrypt-only", "aes128"] {
        let answer = payments.call("encrypt", key, &verified);
        answer.assert_error(400, "InvalidKeyUsageException");
    }
}
