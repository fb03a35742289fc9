//! Tokens and keys that are missing, not accessible, ambiguous or not permitted for an operation.

use serde_json::json;

use crate::harness::control::Function;
use crate::harness::dialect::Spoken;
use crate::harness::metrics::eventually;
use crate::harness::wire::{base64, decrypt_body, encrypt_body, plain_body, set};
use crate::harness::{Caller, PAYMENTS, Proxy};

/// Checks that a proxy without a usable HSM responds, reports its state, and returns 5xx errors.
#[track_caller]
fn assert_unavailable(proxy: &Proxy) {
    let payments = proxy.caller(&PAYMENTS);
    let health = payments.health();
    assert_eq!(
        health["ekmFleetDetails"][0]["healthStatus"], "UNAVAILABLE",
        "{health}"
    );
    let encrypt = payments.call("encrypt", "orders", &encrypt_body(b"x"));
    encrypt.assert_error(500, "InternalException");
    let metadata = payments.call("metadata", "orders", &plain_body("metadata"));
    metadata.assert_error(500, "InternalException");
    assert_eq!(proxy.admin("/readyz").status, 503);
    // Requests are authenticated also without an HSM.
    let unsigned = payments.unsigned("encrypt", "orders", "");
    proxy
        .send(&unsigned)
        .assert_error(401, "AuthenticationFailedException");
}

#[test]
fn an_absent_token_is_reported_and_found_when_it_appears() {
    let proxy = Proxy::launch(|setup| setup.set("hsm", "token", "{ label = \"no-such-token\" }"));
    assert_unavailable(&proxy);
    assert!(
        proxy
            .daemon
            .log()
            .iter()
            .any(|line| line.contains("no-such-token")),
        "which token?"
    );
}

/// A second HSM fails for a reason that is retried. When it is usable, enough time has passed for further attempts of the first one.
///
/// Both HSMs are one token, with one login at a time. The second HSM must not log in, and hang, before the first attempt of the first one.
#[test]
fn a_wrong_pin_is_tried_once() {
    let mut controls = None;
    let mut proxy = Proxy::launch(|setup| {
        let wrong_pin = setup.write_private("wrong-pin", "000000");
        setup.set("hsm", "pin", &format!("{{ file = {wrong_pin:?} }}"));
        let (wrong, other) = (setup.faulty_module(), setup.second_faulty_module());
        other.hang(Function::OpenSession, true);
        other.fail_next(Function::Login, CKR_USER_PIN_NOT_INITIALIZED, 2);
        controls = Some((wrong, other));
    });
    let (wrong, other) = controls.unwrap();
    let tries = || (wrong.wrong_pins(), wrong.calls(Function::Login));
    eventually("the first login", || (tries() == (1, 1)).then_some(()));
    other.hang(Function::Login, true);
    other.hang(Function::OpenSession, false);
    eventually("the first login of the second HSM", || {
        (other.stuck(Function::Login) == 1).then_some(())
    });
    assert_unavailable(&proxy);
    // A change of an unrelated setting causes no attempt.
    proxy.reconfigure(|setup| setup.set("log", "level", "\"debug\""));
    other.hang(Function::Login, false);
    proxy.await_metric("xks_hsm_usable", &[("hsm", "hsm-b")], |usable| {
        usable == 1.0
    });
    assert!(other.calls(Function::Login) >= 3);
    assert_eq!(tries(), (1, 1));
    assert_eq!(
        proxy.metric("xks_hsm_usable", &[("hsm", "hsm-a")]),
        Some(0.0)
    );
    proxy.setup.token.accepts_its_pin();
}

/// Attempts without a user PIN lock nothing, and an operator may set a PIN at any time.
#[test]
fn a_token_without_a_pin_is_used_once_it_has_one() {
    let mut control = None;
    let proxy = Proxy::launch(|setup| {
        let device = setup.faulty_module();
        device.fail_next(Function::Login, CKR_USER_PIN_NOT_INITIALIZED, 2);
        control = Some(device);
    });
    proxy.await_metric("xks_hsm_usable", &[("hsm", "hsm-a")], |usable| {
        usable == 1.0
    });
    assert!(control.unwrap().calls(Function::Login) >= 3);
    proxy.caller(&PAYMENTS).encrypt("orders", b"x");
}

#[test]
fn a_token_is_found_by_its_serial_number() {
    let proxy = Proxy::start_with(|setup| {
        let serial = setup.token.serial();
        setup.set("hsm", "token", &format!("{{ serial = \"{serial}\" }}"));
    });
    proxy.caller(&PAYMENTS).encrypt("orders", b"x");
}

#[test]
fn a_key_that_is_not_configured_or_not_in_the_token_is_not_found() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    let decrypt = decrypt_body(&payments.encrypt("orders", b"x"));
    for key in ["nobody-configured-this", "absent", "stock", "ledger-key"] {
        let metadata = payments.call("metadata", key, &plain_body("metadata"));
        metadata.assert_error(404, "KeyNotFoundException");
        payments
            .call("encrypt", key, &encrypt_body(b"x"))
            .assert_error(404, "KeyNotFoundException");
        payments
            .call("decrypt", key, &decrypt)
            .assert_error(404, "KeyNotFoundException");
    }
}

#[test]
fn requests_for_an_ambiguous_label_fail() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    let body = encrypt_body(b"x");
    payments
        .call("encrypt", "ambiguous", &body)
        .assert_error(400, "InvalidStateException");
    let reason = proxy.access_line(&body)["reason"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    assert!(
        reason.contains("ambiguous"),
        "the operator should read which label: {reason:?}"
    );
    let metadata = payments.call("metadata", "ambiguous", &plain_body("metadata"));
    metadata.assert_error(400, "InvalidStateException");
}

/// The body of an Encrypt with CDIV, which needs a decryption.
fn encrypt_with_cdiv() -> serde_json::Value {
    set(
        &encrypt_body(b"x"),
        "ciphertextDataIntegrityValueAlgorithm",
        "SHA_256",
    )
}

/// The body of a Decrypt with an invalid ciphertext.
fn made_up() -> serde_json::Value {
    decrypt_body(&json!({
        "ciphertext": base64("x"),
        "initializationVector": base64(vec![1; Spoken::under_test().iv_length]),
        "authenticationTag": base64([2; 16]),
        "ciphertextMetadata": base64([1, 0, 0, 0, 1]),
    }))
}

#[track_caller]
fn assert_usage_rejected(
    payments: &Caller<'_>,
    operation: &str,
    key: &str,
    body: &serde_json::Value,
) {
    payments
        .call(operation, key, body)
        .assert_error(400, "InvalidKeyUsageException");
}

#[test]
fn an_encrypt_only_key_encrypts_without_cdiv_only() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    let encrypted = payments.encrypt("encrypt-only", b"x");
    assert_usage_rejected(&payments, "encrypt", "encrypt-only", &encrypt_with_cdiv());
    assert_usage_rejected(
        &payments,
        "decrypt",
        "encrypt-only",
        &decrypt_body(&encrypted),
    );
}

#[test]
fn a_decrypt_only_key_decrypts_only() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    assert_usage_rejected(&payments, "encrypt", "decrypt-only", &encrypt_body(b"x"));
    assert_usage_rejected(&payments, "encrypt", "decrypt-only", &encrypt_with_cdiv());
    let decrypt = payments.call("decrypt", "decrypt-only", &made_up());
    decrypt.assert_error(400, "InvalidCiphertextException");
}

#[test]
fn a_key_for_neither_and_keys_that_are_not_aes_256_do_nothing() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    for key in ["neither", "aes128", "aes192"] {
        assert_usage_rejected(&payments, "encrypt", key, &encrypt_body(b"x"));
        assert_usage_rejected(&payments, "encrypt", key, &encrypt_with_cdiv());
        assert_usage_rejected(&payments, "decrypt", key, &made_up());
    }
}

#[test]
fn a_new_key_is_found_and_a_deleted_key_is_missing() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    let status = || {
        payments
            .call("encrypt", "absent", &encrypt_body(b"x"))
            .status
    };
    assert_eq!(status(), 404);
    proxy.setup.token.tool("key", &["--label", "absent"]);
    eventually("the new key", || (status() == 200).then_some(()));
    proxy.setup.token.tool("delete-key", &["--label", "absent"]);
    eventually("its absence", || (status() == 404).then_some(()));
}

#[test]
fn a_ciphertext_of_a_deleted_key_is_not_an_invalid_ciphertext() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    proxy.setup.token.tool("key", &["--label", "absent"]);
    let decrypt = decrypt_body(&payments.encrypt("absent", b"x"));
    proxy.setup.token.tool("delete-key", &["--label", "absent"]);
    for operation in ["decrypt", "encrypt", "metadata"] {
        let body = match operation {
            "decrypt" => decrypt.clone(),
            "encrypt" => encrypt_body(b"x"),
            _ => plain_body("metadata"),
        };
        eventually(&format!("its absence for {operation}"), || {
            let response = payments.call(operation, "absent", &body);
            assert_ne!(
                response.json()["errorName"],
                "InvalidCiphertextException",
                "the ciphertext is good: {response:?}"
            );
            (response.status == 404).then_some(())
        });
    }
    payments.encrypt("orders", b"the device still serves");
}

#[test]
fn a_cdiv_is_returned_only_after_a_verifying_decryption() {
    let mut control = None;
    let proxy = Proxy::start_with(|setup| control = Some(setup.faulty_module()));
    let (control, payments) = (control.unwrap(), proxy.caller(&PAYMENTS));
    payments.encrypt("orders", b"warm");
    let before = control.calls(Function::Decrypt);
    payments
        .call("encrypt", "orders", &encrypt_with_cdiv())
        .ok();
    assert!(
        control.calls(Function::Decrypt) > before,
        "no decrypt was made"
    );
}

#[test]
fn a_failed_verification_is_attributed_to_the_hsm() {
    let mut control = None;
    let proxy = Proxy::start_with(|setup| control = Some(setup.faulty_module()));
    let (control, payments) = (control.unwrap(), proxy.caller(&PAYMENTS));
    control.fail_next(
        Function::Decrypt,
        CKR_ENCRYPTED_DATA_INVALID,
        crate::harness::control::FOREVER,
    );
    let response = payments.call("encrypt", "orders", &encrypt_with_cdiv());
    response.assert_error(500, "InternalException");
}

const CKR_ENCRYPTED_DATA_INVALID: u64 = 0x40;
const CKR_USER_PIN_NOT_INITIALIZED: u64 = 0x102;
