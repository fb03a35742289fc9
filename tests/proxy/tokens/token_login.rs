//! Tokens with and without a required login.

use crate::harness::command::run;
use crate::harness::control::Function;
use crate::harness::setup::Setup;
use crate::harness::wire::{bytes, decrypt_body, encrypt_body};
use crate::harness::{PAYMENTS, Proxy};

/// Configures no PIN, and creates two keys that can be used without a login.
fn without_pin(setup: &mut Setup) {
    for label in ["absent", "public-health"] {
        setup.token.tool("key", &["--label", label, "--public"]);
    }
    setup.set("hsm", "pin", "\"none\"");
    setup.set("hsm", "health_key", "\"public-health\"");
    setup.set("health", "interval", "\"1s\"");
}

#[test]
fn a_token_without_a_login_is_used_without_a_pin() {
    let mut control = None;
    let proxy = Proxy::start_with(|setup| {
        without_pin(setup);
        let faulty = setup.faulty_module();
        faulty.set_no_login();
        control = Some(faulty);
    });
    let control = control.unwrap();
    let payments = proxy.caller(&PAYMENTS);
    let encrypted = payments.encrypt("absent", b"public");
    let opened = payments.call("decrypt", "absent", &decrypt_body(&encrypted));
    assert_eq!(bytes(&opened.ok(), "plaintext"), b"public");
    // A public session is sufficient to report a key as missing.
    let missing = payments.call("encrypt", "orders", &encrypt_body(b"x"));
    missing.assert_error(404, "KeyNotFoundException");
    // A lost session is reopened, also without a login.
    control.lose_sessions();
    let opened = payments.call("decrypt", "absent", &decrypt_body(&encrypted));
    assert_eq!(bytes(&opened.ok(), "plaintext"), b"public");
    let health = payments.health();
    assert_eq!(health["ekmFleetDetails"][0]["healthStatus"], "ACTIVE");
    assert_eq!(control.calls(Function::Login), 0);
    let parts = ["hsm-a: ok: ", "payments/absent version 1: ok"];
    run(&proxy.setup, &["check-config", "--hsm"]).expect(1, &parts);
    assert_eq!(control.calls(Function::Login), 0);
}

#[test]
fn a_missing_pin_of_a_token_that_requires_a_login_is_reported() {
    let why = "the token requires a login";
    let proxy = Proxy::launch(without_pin);
    let line = proxy.daemon.wait_for("that the PIN is missing", |line| {
        line["message"] == "the HSM cannot be opened"
    });
    assert!(line["error"].as_str().unwrap().contains(why), "{line}");
    run(&proxy.setup, &["check-config", "--hsm"]).expect(1, &[why, "configure its PIN"]);
}

#[test]
fn a_missing_pin_setting_is_a_configuration_error() {
    let directory = tempfile::tempdir().unwrap();
    let mut setup = Setup::new(directory.path());
    setup.unset("hsm", "pin");
    run(&setup, &["check-config"]).expect(78, &["hsm[0].pin", "is missing"]);
    setup.set("hsm", "pin", "\"nobody\"");
    run(&setup, &["check-config"]).expect(78, &["hsm[0].pin", "must be a table"]);
}
