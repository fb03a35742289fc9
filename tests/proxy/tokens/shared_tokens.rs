//! Tokens that other programs also use, and tokens with unusual properties. A problem with one key, slot or text affects nothing else.

use cryptoki_sys::{
    CKF_CLOCK_ON_TOKEN, CKF_WRITE_PROTECTED, CKR_DEVICE_ERROR, CKR_DEVICE_MEMORY,
    CKR_FUNCTION_FAILED, CKR_GENERAL_ERROR, CKR_OBJECT_HANDLE_INVALID,
};

use crate::harness::command::run;
use crate::harness::control::{Control, FOREVER, Function};
use crate::harness::metrics::eventually;
use crate::harness::product::Product;
use crate::harness::setup::Setup;
use crate::harness::wire::{decrypt_body, encrypt_body};
use crate::harness::{PAYMENTS, Proxy};

/// A proxy with a device that `change` changes before the start.
fn launch_on(change: impl FnOnce(&Control)) -> (Proxy, Control) {
    let mut control = None;
    let proxy = Proxy::launch(|setup| {
        let device = setup.faulty_module();
        change(&device);
        setup.set("health", "interval", "\"200ms\"");
        control = Some(device);
    });
    (proxy, control.unwrap())
}

fn attempts(proxy: &Proxy, outcome: &str) -> f64 {
    let labels = [("hsm", "hsm-a"), ("outcome", outcome)];
    let attempts = proxy.metric("xks_hsm_open_attempts_total", &labels);
    attempts.unwrap_or(0.0)
}

fn assert_opened_at_once(proxy: &Proxy) {
    proxy.await_ready();
    // The HSM serves before the supervisor counts the attempt.
    eventually("the opening's count", || {
        (attempts(proxy, "opened") > 0.0).then_some(())
    });
    assert_eq!(
        (attempts(proxy, "opened"), attempts(proxy, "failed")),
        (1.0, 0.0)
    );
}

fn error_at_opening(proxy: &Proxy) -> String {
    let line = proxy.daemon.wait_for("why not", |line| {
        line["message"] == "the HSM cannot be opened"
    });
    line["error"].as_str().unwrap().to_owned()
}

/// Opens a token several times while each of the programs creates and deletes this many keys per second.
fn open_beside(programs: usize, rate: u32, openings: usize) -> usize {
    let directory = tempfile::tempdir().unwrap();
    let setup = Setup::new(directory.path());
    let programs: Vec<_> = (0..programs).map(|_| setup.token.churn(rate)).collect();
    let opened = (0..openings).filter(|_| {
        let ran = run(&setup, &["check-config", "--hsm", "--json"]);
        let is_open = ran.json()["checks"]["hsms"][0]["is_proved"] == true;
        if !is_open {
            eprintln!("{ran}");
        }
        is_open
    });
    let opened = opened.count();
    for program in programs {
        eprint!("{}", program.end());
    }
    opened
}

/// The number of keys per second that the other program creates and deletes. Kryoptic stores keys in one SQLite file, which is locked as a
/// whole. A program that writes without pauses would block all others for longer than the 5 s that the library waits.
fn rate() -> u32 {
    match Product::under_test() {
        Product::Kryoptic => 50,
        Product::SoftHsm | Product::Nss | Product::P11Kit => 500,
    }
}

#[test]
fn a_token_is_opened_while_another_program_creates_and_deletes_keys() {
    assert_eq!(open_beside(1, rate(), 20), 20);
}

/// The proxy opens the token in the meantime.
#[test]
fn a_proxy_starts_while_another_program_creates_and_deletes_keys() {
    let mut churn = None;
    let mut proxy = Proxy::launch(|setup| churn = Some(setup.token.churn(rate())));
    for _ in 0..5 {
        assert_opened_at_once(&proxy);
        proxy.kill_and_start_again();
    }
    let churn: crate::harness::token::Churn = churn.unwrap();
    assert!(churn.end().contains("made and deleted"));
}

/// A measurement that takes a minute.
#[test]
#[ignore = "a measurement"]
fn openings_beside_24_keys_a_second() {
    assert_eq!(open_beside(8, 3, 100), 100);
}

#[test]
fn keys_that_vanish_while_they_are_listed_are_skipped() {
    let (proxy, control) = launch_on(|control| {
        control.fail_next(Function::GetAttributeValue, CKR_OBJECT_HANDLE_INVALID, 5);
    });
    assert_opened_at_once(&proxy);
    assert_eq!(control.injected(Function::GetAttributeValue), 5);
    // Skipped keys are found at the first request for them.
    let payments = proxy.caller(&PAYMENTS);
    for key in ["orders", "ledger", "by-id"] {
        payments.encrypt(key, b"x");
    }
}

#[test]
fn a_search_that_fails_because_a_key_vanishes_is_repeated() {
    let (proxy, _control) = launch_on(|control| {
        control.fail_next(Function::FindObjects, CKR_GENERAL_ERROR, 1);
    });
    assert_opened_at_once(&proxy);
}

/// Kryoptic returns such an error while another program has locked its storage.
#[test]
fn a_temporary_device_error_does_not_prevent_opening_the_token() {
    for function in [Function::FindObjects, Function::GetAttributeValue] {
        let (proxy, control) =
            launch_on(|control| control.fail_next(function, CKR_DEVICE_MEMORY, 2));
        assert_opened_at_once(&proxy);
        assert_eq!(control.injected(function), 2);
    }
}

#[test]
fn only_the_key_that_cannot_be_read_fails() {
    let (proxy, control) =
        launch_on(|control| control.set_unreadable("ledger-key", CKR_FUNCTION_FAILED));
    assert_opened_at_once(&proxy);
    proxy.daemon.wait_for("the number of omitted keys", |line| {
        line["message"] == "some keys of the token cannot be read; they are left out"
            && line["keys"] == 1
    });
    let payments = proxy.caller(&PAYMENTS);
    for _ in 0..5 {
        let response = payments.call("encrypt", "ledger", &encrypt_body(b"x"));
        response.assert_error(500, "InternalException");
        payments.encrypt("orders", b"x");
    }
    assert_opened_at_once(&proxy);
    let fault = "payments/ledger version 1: hsm-a has a key with label \"ledger-key\" that cannot be used: keys of the token that cannot be \
                 read: 1; ";
    run(&proxy.setup, &["key", "list"]).expect(1, &[fault]);
    // A missing key is still reported as missing.
    run(&proxy.setup, &["check-config", "--hsm"])
        .expect(1, &[fault, "no HSM has a key with label \"absent\""]);
    // The key serves when it can be read again.
    control.set_unreadable("ledger-key", 0);
    eventually("the key that can be read again", || {
        let response = payments.call("encrypt", "ledger", &encrypt_body(b"x"));
        (response.status == 200).then_some(())
    });
}

#[test]
fn a_device_without_readable_keys_is_not_used() {
    let (proxy, control) = launch_on(|control| {
        control.fail_next(Function::GetAttributeValue, CKR_GENERAL_ERROR, FOREVER);
    });
    let error = error_at_opening(&proxy);
    assert!(error.contains("GetAttributeValue"), "{error}");
    control.clear_faults();
    proxy.await_ready();
}

#[test]
fn a_slot_that_cannot_be_queried_is_listed_with_its_error() {
    let (proxy, control) = launch_on(|control| {
        control.fail_next(Function::GetTokenInfo, CKR_DEVICE_ERROR, FOREVER);
    });
    let error = error_at_opening(&proxy);
    assert!(
        error.contains("cannot be queried") && error.contains("GetTokenInfo"),
        "{error}"
    );
    control.clear_faults();
    proxy.await_ready();
}

#[test]
fn the_error_distinguishes_a_module_without_tokens() {
    let (proxy, control) = launch_on(|control| control.set_removed(true));
    let error = error_at_opening(&proxy);
    assert!(
        error.contains("tokens there: none; slots without a token: "),
        "{error}"
    );
    control.clear_faults();
    proxy.await_ready();
}

/// As in openCryptoki.
#[test]
fn a_token_with_an_invalid_clock_field_is_used() {
    let (proxy, _control) = launch_on(|control| control.set_token_flags(CKF_CLOCK_ON_TOKEN));
    assert_opened_at_once(&proxy);
    proxy.caller(&PAYMENTS).encrypt("orders", b"x");
}

/// As in tpm2-pkcs11.
#[test]
fn texts_that_are_padded_with_nul_are_read_like_others() {
    let (proxy, _control) = launch_on(|control| control.set_nul_padding(true));
    assert_opened_at_once(&proxy);
    let health = proxy.caller(&PAYMENTS).health();
    let details = &health["ekmFleetDetails"][0];
    assert_eq!(details["healthStatus"], "ACTIVE");
    let text = health.to_string();
    assert!(
        text.contains(proxy.setup.token.product.name()) && !text.contains("\\u0000"),
        "{text}"
    );
}

/// Each request may return a new, uninitialized function table, as in p11-kit.
#[test]
fn the_function_table_is_requested_once() {
    let (proxy, control) = launch_on(|_| {});
    proxy.await_ready();
    proxy.caller(&PAYMENTS).encrypt("orders", b"x");
    assert_eq!(control.calls(Function::GetFunctionList), 1);
}

/// As in AWS CloudHSM's client SDK 5.
#[test]
fn a_token_that_rejects_read_only_sessions_is_used_with_read_write_sessions() {
    let (proxy, control) = launch_on(|control| control.reject_read_only(CKR_FUNCTION_FAILED));
    assert_opened_at_once(&proxy);
    proxy.daemon.wait_for("which sessions are used", |line| {
        line["message"] == "the token rejects read-only sessions; using read-write sessions"
    });
    let payments = proxy.caller(&PAYMENTS);
    let encrypted = payments.encrypt("orders", b"x");
    // Later sessions are read-write sessions, too: after a lost session, and after a hanging call.
    control.lose_sessions();
    eventually("the service again", || {
        let response = payments.call("decrypt", "orders", &decrypt_body(&encrypted));
        (response.status == 200).then_some(())
    });
    assert_eq!(attempts(&proxy, "failed"), 0.0);
    run(&proxy.setup, &["check-config", "--hsm"]).expect(1, &["hsm-a: ok: "]);
    run(&proxy.setup, &["key", "create", "--label", "new-one"]).expect(0, &["new-one"]);
}

#[test]
fn no_read_write_session_is_opened_with_a_write_protected_token() {
    let (proxy, control) = launch_on(|control| {
        control.reject_read_only(CKR_FUNCTION_FAILED);
        control.set_token_flags(CKF_WRITE_PROTECTED);
    });
    let error = error_at_opening(&proxy);
    assert!(error.contains("OpenSession"), "{error}");
    assert_eq!(control.sessions_opened(), 0);
    control.reject_read_only(0);
    proxy.await_ready();
    let ran = run(&proxy.setup, &["key", "create", "--label", "new-one"]);
    assert_eq!(ran.code, Some(1), "{ran}");
    assert_eq!(control.calls(Function::GenerateKey), 0);
}
