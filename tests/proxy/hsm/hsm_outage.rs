//! An HSM that is slow, hangs or is broken, simulated by `tests/faulty_pkcs11`. Errors are attributed correctly, and no request takes longer
//! than its deadline.

use std::thread;

use crate::harness::control::{Control, FOREVER, Function};
use crate::harness::metrics::eventually;
use crate::harness::outage::{assert_blames_the_hsm, await_service, faulty, faulty_with};
use crate::harness::wire::{decrypt_body, encrypt_body};
use crate::harness::{PAYMENTS, Proxy};

const CKR_GENERAL_ERROR: u64 = 0x05;
const CKR_FUNCTION_FAILED: u64 = 0x06;
const CKR_DEVICE_ERROR: u64 = 0x30;
const CKR_ENCRYPTED_DATA_INVALID: u64 = 0x40;

#[test]
fn a_wrong_tag_is_attributed_to_the_caller_for_every_return_code() {
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
    payments.encrypt("orders", b"the device still serves");
}

#[test]
fn a_device_that_cannot_decrypt_never_causes_an_invalid_ciphertext_error() {
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
        control.clear_faults();
        await_service(&payments, &decrypt);
    }
}

#[test]
fn a_device_that_cannot_encrypt_causes_an_internal_error() {
    let (proxy, control) = faulty();
    let payments = proxy.caller(&PAYMENTS);
    let decrypt = decrypt_body(&payments.encrypt("orders", b"x"));
    control.fail_next(Function::Encrypt, CKR_DEVICE_ERROR, FOREVER);
    let response = payments.call("encrypt", "orders", &encrypt_body(b"x"));
    response.assert_error(500, "InternalException");
    control.clear_faults();
    await_service(&payments, &decrypt);
}

/// A proxy with a deadline of one second, without health checks: only requests call the device.
fn with_a_deadline(sessions: &str) -> (Proxy, Control) {
    faulty_with(|setup| {
        setup.set("server.limits", "request_timeout", "\"1s\"");
        setup.set("hsm", "sessions", sessions);
        setup.set("health", "interval", "\"45s\"");
    })
}

#[test]
fn a_device_slower_than_the_deadline_causes_a_dependency_timeout() {
    let (proxy, control) = with_a_deadline("4");
    let payments = proxy.caller(&PAYMENTS);
    let decrypt = decrypt_body(&payments.encrypt("orders", b"x"));
    control.set_delay(Function::Encrypt, 30_000_000);
    let response = payments.call("encrypt", "orders", &encrypt_body(b"x"));
    response.assert_error(503, "DependencyTimeoutException");
    assert_eq!(control.in_flight(), 1, "the device has not finished yet");
    control.clear_faults();
    await_service(&payments, &decrypt);
}

#[test]
fn a_hanging_device_delays_no_request_beyond_its_deadline() {
    let (proxy, control) = with_a_deadline("4");
    let payments = proxy.caller(&PAYMENTS);
    let decrypt = decrypt_body(&payments.encrypt("orders", b"x"));
    // The device hangs until all requests are answered.
    control.hang(Function::Encrypt, true);
    // More requests than sessions: some hang in the device, the others wait in the queue.
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let response = payments.call("encrypt", "orders", &encrypt_body(b"x"));
                assert!([429, 500, 503].contains(&response.status), "{response:?}");
            });
        }
    });
    assert_eq!(proxy.admin("/livez").status, 200);
    let unsigned = payments.unsigned("encrypt", "orders", "");
    proxy
        .send(&unsigned)
        .assert_error(401, "AuthenticationFailedException");
    control.clear_faults();
    await_service(&payments, &decrypt);
}

#[test]
fn a_job_whose_caller_has_left_is_not_sent_to_the_device() {
    let (proxy, control) = with_a_deadline("1");
    let payments = proxy.caller(&PAYMENTS);
    payments.encrypt("orders", b"x");
    let mut requests: Vec<_> = (0..6)
        .map(|_| {
            let body = encrypt_body(b"x").to_string();
            let request = payments.request("encrypt", "orders", body);
            (proxy.connect(), request.bytes())
        })
        .collect();
    control.hang(Function::Encrypt, true);
    let before = control.calls(Function::Encrypt);
    let mut send = |at: usize| {
        let (connection, bytes) = &mut requests[at];
        connection.send(bytes).unwrap();
    };
    send(0);
    eventually("one inside the device", || {
        (control.stuck(Function::Encrypt) == 1).then_some(())
    });
    // These requests wait in the queue until their deadline.
    (1..6).for_each(&mut send);
    for (connection, _) in &mut requests {
        let response = connection.response().expect("an answer");
        assert!(response.status >= 429, "{response:?}");
    }
    control.clear_faults();
    let mut asked = 0;
    eventually("service after the hang", || {
        asked += 1;
        let response = payments.call("encrypt", "orders", &encrypt_body(b"x"));
        (response.status == 200).then_some(())
    });
    let made = control.calls(Function::Encrypt) - before;
    assert!(
        made <= 1 + asked,
        "{made} calls of C_Encrypt for one that hung and {asked} after it"
    );
}
