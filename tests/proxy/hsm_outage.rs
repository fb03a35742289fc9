//! An HSM that is slow, hung or broken, by the module of `tests/faulty_pkcs11`: the right side is blamed, and no request is held
//! beyond its deadline.

use std::thread;
use std::time::{Duration, Instant};

use crate::harness::PAYMENTS;
use crate::harness::control::{FOREVER, Function};
use crate::harness::metrics::eventually;
use crate::harness::outage::{assert_blames_the_hsm, await_service, faulty, faulty_with};
use crate::harness::wire::{decrypt_body, encrypt_body};

const CKR_GENERAL_ERROR: u64 = 0x05;
const CKR_FUNCTION_FAILED: u64 = 0x06;
const CKR_DEVICE_ERROR: u64 = 0x30;
const CKR_ENCRYPTED_DATA_INVALID: u64 = 0x40;

#[test]
fn a_bad_tag_is_the_callers_fault_whatever_the_device_calls_it() {
    let (proxy, control) = faulty();
    let payments = proxy.caller(&PAYMENTS);
    let mut damaged = decrypt_body(&payments.encrypt("orders", b"x"));
    damaged["authenticationTag"] = "AAAAAAAAAAAAAAAAAAAAAA==".into();
    for code in [
        CKR_GENERAL_ERROR,
        CKR_FUNCTION_FAILED,
        CKR_ENCRYPTED_DATA_INVALID,
    ] {
        control.set_bad_tag_code(code);
        let response = payments.call("decrypt", "orders", &damaged);
        response.assert_error(400, "InvalidCiphertextException");
    }
    payments.encrypt("orders", b"the device is not thought broken");
}

#[test]
fn a_device_that_cannot_decrypt_is_never_an_invalid_ciphertext() {
    let (proxy, control) = faulty();
    let payments = proxy.caller(&PAYMENTS);
    let decrypt = decrypt_body(&payments.encrypt("orders", b"x"));
    for code in [
        CKR_GENERAL_ERROR,
        CKR_FUNCTION_FAILED,
        CKR_DEVICE_ERROR,
        CKR_ENCRYPTED_DATA_INVALID,
    ] {
        control.fail_next(Function::Decrypt, code, FOREVER);
        for _ in 0..5 {
            assert_blames_the_hsm(&payments.call("decrypt", "orders", &decrypt));
        }
        control.heal();
        await_service(&payments, &decrypt);
    }
}

#[test]
fn a_device_that_cannot_encrypt_is_an_internal_fault() {
    let (proxy, control) = faulty();
    let payments = proxy.caller(&PAYMENTS);
    let decrypt = decrypt_body(&payments.encrypt("orders", b"x"));
    control.fail_next(Function::Encrypt, CKR_DEVICE_ERROR, FOREVER);
    let response = payments.call("encrypt", "orders", &encrypt_body(b"x"));
    response.assert_error(500, "InternalException");
    control.heal();
    await_service(&payments, &decrypt);
}

#[test]
fn a_device_slower_than_the_deadline_is_a_dependency_timeout() {
    let (proxy, control) =
        faulty_with(|setup| setup.set("server.limits", "request_timeout", "\"1s\""));
    let payments = proxy.caller(&PAYMENTS);
    let decrypt = decrypt_body(&payments.encrypt("orders", b"x"));
    control.set_delay(Function::Encrypt, 3_000_000);
    let start = Instant::now();
    let response = payments.call("encrypt", "orders", &encrypt_body(b"x"));
    response.assert_error(503, "DependencyTimeoutException");
    assert!(
        start.elapsed() < Duration::from_millis(2_500),
        "answered after {:?}",
        start.elapsed()
    );
    control.heal();
    await_service(&payments, &decrypt);
}

#[test]
fn a_hung_device_holds_no_request_beyond_its_deadline() {
    let (proxy, control) =
        faulty_with(|setup| setup.set("server.limits", "request_timeout", "\"1s\""));
    let payments = proxy.caller(&PAYMENTS);
    let decrypt = decrypt_body(&payments.encrypt("orders", b"x"));
    control.hang(Function::Encrypt, true);
    // More than there are sessions: some hang in the device, the others wait behind them.
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let body = encrypt_body(b"x").to_string();
                let request = payments.request("encrypt", "orders", body);
                // The deadline is the request's: a starved handshake is not the device's doing.
                let mut connection = proxy.connect();
                let start = Instant::now();
                let response = connection.exchange(&request);
                assert!([429, 500, 503].contains(&response.status), "{response:?}");
                assert!(
                    start.elapsed() < Duration::from_millis(2_500),
                    "after {:?}",
                    start.elapsed()
                );
            });
        }
    });
    assert_eq!(proxy.admin("/livez").status, 200);
    let unsigned = payments.unsigned("encrypt", "orders", "");
    proxy
        .send(&unsigned)
        .assert_error(401, "AuthenticationFailedException");
    control.heal();
    await_service(&payments, &decrypt);
}

#[test]
fn a_job_whose_caller_gave_up_never_reaches_the_device() {
    let (proxy, control) = faulty_with(|setup| {
        setup.set("server.limits", "request_timeout", "\"1s\"");
        setup.set("hsm", "sessions", "1");
        setup.set("health", "interval", "\"45s\"");
    });
    let payments = proxy.caller(&PAYMENTS);
    payments.encrypt("orders", b"x");
    control.set_delay(Function::Encrypt, 2_500_000);
    let before = control.calls(Function::Encrypt);
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let response = payments.call("encrypt", "orders", &encrypt_body(b"x"));
                assert!(response.status >= 429, "{response:?}");
            });
        }
    });
    control.heal();
    eventually("service after the delay", || {
        let response = payments.call("encrypt", "orders", &encrypt_body(b"x"));
        (response.status == 200).then_some(())
    });
    // One was inside the device when its deadline passed; of the five behind it none was begun.
    let made = control.calls(Function::Encrypt) - before;
    assert!(
        made <= 4,
        "{made} calls of C_Encrypt for one that began and the ones that were served"
    );
}
