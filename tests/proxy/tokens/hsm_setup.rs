//! An HSM with a wrong setup. The start continues, the log shows what to do, and other HSMs and keys are served.

use std::fs;
use std::path::Path;

use crate::harness::command::run;
use crate::harness::dialect::Spoken;
use crate::harness::outage::await_service;
use crate::harness::setup::Setup;
use crate::harness::token::PIN;
use crate::harness::wire::{decrypt_body, encrypt_body};
use crate::harness::{PAYMENTS, Proxy};

/// Starts a proxy whose HSM cannot be opened, and returns the logged error.
#[track_caller]
fn why_not(change: impl FnOnce(&mut Setup)) -> String {
    let proxy = Proxy::launch(change);
    let line = proxy.daemon.wait_for("why not", |line| {
        line["message"] == "the HSM cannot be opened"
    });
    let payments = proxy.caller(&PAYMENTS);
    let response = payments.call("encrypt", "orders", &encrypt_body(b"x"));
    response.assert_error(500, "InternalException");
    let health = payments.health();
    assert_eq!(health["ekmFleetDetails"][0]["healthStatus"], "UNAVAILABLE");
    line["error"].as_str().unwrap().to_owned()
}

fn module(content: &'static [u8]) -> impl FnOnce(&mut Setup) {
    move |setup| {
        let path = setup.directory.join("module.so");
        fs::write(&path, content).unwrap();
        setup.set_path("hsm", "module", &path);
    }
}

#[test]
fn the_error_contains_the_path_of_a_file_that_is_not_a_module() {
    let missing =
        why_not(|setup| setup.set_path("hsm", "module", Path::new("/nonexistent/hsm.so")));
    assert!(
        missing.contains("/nonexistent/hsm.so") && missing.contains("cannot be loaded"),
        "{missing}"
    );
    let text = why_not(module(b"not a library"));
    assert!(text.contains("cannot be loaded"), "{text}");
    // The header of an ELF library for a different processor (64-bit, little-endian, shared object, machine 0xf3).
    let other = why_not(module(
        b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\xf3\0\x01\0\0\0",
    ));
    assert!(other.contains("cannot be loaded"), "{other}");
    let library = why_not(|setup| setup.set_path("hsm", "module", Path::new("libm.so.6")));
    assert!(
        library.contains("not a PKCS#11 module") || library.contains("cannot be loaded"),
        "{library}"
    );
}

#[test]
fn a_token_label_of_two_tokens_is_rejected() {
    let error = why_not(|setup| setup.token.twin());
    assert!(
        error.contains("2 tokens") && error.contains("serial"),
        "{error}"
    );
}

#[test]
fn a_pin_file_may_end_with_a_line_end() {
    let proxy = Proxy::start_with(|setup| {
        let file = setup.token.pin_file();
        let pin = fs::read_to_string(&file).unwrap();
        fs::write(&file, format!("{}\n", pin.trim_end())).unwrap();
    });
    proxy.caller(&PAYMENTS).encrypt("orders", b"x");
}

#[test]
fn a_malformed_pin_is_never_sent_to_the_token() {
    let directory = tempfile::tempdir().unwrap();
    let mut setup = Setup::new(directory.path());
    let control = setup.faulty_module();
    setup.write_private("blank-pin", &format!("{PIN} "));
    let credentials = setup.directory.display().to_string();
    let variables = [
        ("TEST_PIN", format!(" {PIN}")),
        ("CREDENTIALS_DIRECTORY", credentials),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value));
    setup.variables.extend(variables);
    for (text, what) in [
        (format!("{PIN}\n\n"), "more than one line"),
        (format!("{PIN} \n"), "begins or ends with a blank"),
        (format!(" {PIN}"), "begins or ends with a blank"),
        (format!("{PIN}\r\n"), "Windows line end (CRLF)"),
        (format!("\u{feff}{PIN}"), "byte order mark (BOM)"),
    ] {
        fs::write(setup.token.pin_file(), text).unwrap();
        for command in [
            &["check-config"][..],
            &["check-config", "--hsm"],
            &["key", "list"],
        ] {
            let ran = run(&setup, command).expect(78, &["hsm[0].pin: ", what]);
            assert!(!ran.stderr.contains(PIN), "{ran}");
        }
    }
    for form in ["{ env = \"TEST_PIN\" }", "{ credential = \"blank-pin\" }"] {
        setup.set("hsm", "pin", form);
        run(&setup, &["check-config", "--hsm"]).expect(78, &["begins or ends with a blank"]);
    }
    let attempts = (control.logins(), control.login_failures());
    assert_eq!((attempts, control.wrong_pins()), ((0, 0), 0));
}

#[test]
fn the_hsm_is_not_opened_until_an_invalid_pin_file_is_replaced() {
    let mut control = None;
    let proxy = Proxy::launch(|setup| {
        control = Some(setup.faulty_module());
        fs::write(setup.token.pin_file(), format!("{PIN}\n\n")).unwrap();
    });
    let control = control.unwrap();
    let line = proxy.daemon.wait_for("why it is not opened", |line| {
        line["message"] == "the HSM cannot be opened"
    });
    let error = line["error"].as_str().unwrap();
    assert!(
        error.starts_with("the PIN: the secret has more than one line"),
        "{error}"
    );
    assert_eq!((control.logins(), control.login_failures()), (0, 0));
    fs::write(proxy.setup.token.pin_file(), PIN).unwrap();
    proxy.await_ready();
    proxy.caller(&PAYMENTS).encrypt("orders", b"x");
    assert!(!proxy.daemon.log().join("\n").contains(PIN));
}

#[test]
fn settings_of_the_worker_are_checked() {
    let directory = tempfile::tempdir().unwrap();
    let mut setup = Setup::new(directory.path());
    let ran = run(&setup, &["check-config"]).expect(0, &["ok"]);
    assert!(!ran.stderr.contains("hsm[0]"), "{ran}");
    setup.set("hsm", "danger_no_sandbox", "true");
    setup.writable(&directory.path().join("absent"));
    setup.module_variable("LD_AUDIT", "");
    run(&setup, &["check-config"]).expect(
        0,
        &[
            "hsm[0].danger_no_sandbox: the library runs without a sandbox",
            "hsm[0].writable: cannot find",
            "hsm[0].environment.LD_AUDIT: loads further libraries",
        ],
    );
    setup.set("hsm", "hang_timeout", "\"1ms\"");
    run(&setup, &["check-config"]).expect(78, &["hsm[0].hang_timeout: must be from 100ms"]);
}

/// Checks that a device without a suitable health key serves and is DEGRADED, and that the log shows which key to create.
fn impaired_by(health_key: &str) {
    let proxy = Proxy::start_with(|setup| {
        setup.set("hsm", "health_key", &format!("{health_key:?}"));
        if let Some(profile) = Spoken::under_test().unprobed() {
            setup.set("hsm", "gcm_profile", &format!("{profile:?}"));
        }
    });
    let line = proxy
        .daemon
        .wait_for("the reason why the health cannot be checked", |line| {
            line["message"] == "the HSM serves, but its health cannot be checked"
        });
    let reason = line["reason"].as_str().unwrap();
    assert!(
        reason.contains("AES-256") && reason.contains(health_key),
        "{reason}"
    );
    let payments = proxy.caller(&PAYMENTS);
    let health = payments.health();
    assert_eq!(health["ekmFleetDetails"][0]["healthStatus"], "DEGRADED");
    assert_eq!(proxy.admin("/readyz").status, 200);
    // Errors are still attributed, with the key of the request.
    let encrypted = payments.encrypt("orders", b"x");
    let mut damaged = decrypt_body(&encrypted);
    damaged["authenticationTag"] = "AAAAAAAAAAAAAAAAAAAAAA==".into();
    payments
        .call("decrypt", "orders", &damaged)
        .assert_error(400, "InvalidCiphertextException");
    await_service(&payments, &decrypt_body(&encrypted));
}

#[test]
fn without_a_health_key_the_device_serves_and_is_degraded() {
    impaired_by("no-such-key");
}

#[test]
fn a_key_that_is_not_aes_256_or_may_not_decrypt_is_not_a_health_key() {
    // Labels of the template token that no store of this test uses.
    for unfit in ["aes128", "encrypt-only"] {
        let proxy = Proxy::start_with(|setup| {
            setup.rename_key(unfit, "renamed");
            setup.set("hsm", "health_key", &format!("{unfit:?}"));
        });
        let health = proxy.caller(&PAYMENTS).health();
        assert_eq!(
            health["ekmFleetDetails"][0]["healthStatus"], "DEGRADED",
            "{unfit}"
        );
    }
}

#[test]
fn a_health_key_that_is_created_later_is_found() {
    let proxy = Proxy::start_with(|setup| {
        setup.set("hsm", "health_key", "\"made-later\"");
        setup.set("health", "interval", "\"200ms\"");
    });
    proxy.setup.token.tool("key", &["--label", "made-later"]);
    let payments = proxy.caller(&PAYMENTS);
    crate::harness::metrics::eventually("an ACTIVE device", || {
        (payments.health()["ekmFleetDetails"][0]["healthStatus"] == "ACTIVE").then_some(())
    });
}

#[test]
fn a_token_that_loses_its_keys_does_not_report_missing_keys() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    let encrypted = payments.encrypt("orders", b"x");
    // SoftHSM then finds no object and returns no error. KMS would treat a missing key as final.
    let (tokens, away) = (
        proxy.setup.directory.join("tokens"),
        proxy.setup.directory.join("away"),
    );
    fs::rename(&tokens, &away).unwrap();
    for _ in 0..20 {
        for (operation, body) in [
            ("encrypt", encrypt_body(b"x")),
            ("decrypt", decrypt_body(&encrypted)),
        ] {
            let response = payments.call(operation, "orders", &body);
            let name = response.json()["errorName"].clone();
            assert!(
                name.is_null() || name == "InternalException",
                "{response:?}"
            );
        }
    }
    fs::rename(&away, &tokens).unwrap();
    await_service(&payments, &decrypt_body(&encrypted));
}
