//! `key create`, `key list`, `key rotate` and `check-config --hsm`, on real tokens: what they make serves, what they cannot know they
//! do not say, and nothing that they do could make a ciphertext undecryptable.

mod aes_gcm;
mod check_config;
mod create;
mod library_faults;
mod list;
mod rotate;

use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::command::run;
use crate::harness::setup::Setup;
use crate::harness::token::{HEALTH_KEY, OTHER_TOKEN, TOKEN_LABEL};

/// A token and a configuration, and no proxy.
fn setup() -> (TempDir, Setup) {
    let directory = tempfile::tempdir().unwrap();
    let setup = Setup::new(directory.path());
    (directory, setup)
}

/// Removes a key from the configuration.
fn remove_key(setup: &mut Setup, id: &str) {
    setup.edit(&format!("[[key_store.key]]\nid = {id:?}\n"), "");
}

/// Removes the keys that are on the token and that KMS cannot use from the configuration.
fn remove_unusable_keys(setup: &mut Setup) {
    for id in [
        "ambiguous",
        "aes128",
        "aes192",
        "encrypt-only",
        "decrypt-only",
        "neither",
    ] {
        remove_key(setup, id);
    }
}

/// The same with a second HSM, which shares no key with the first one and has its own health key.
fn two_hsms() -> (TempDir, Setup) {
    let (directory, mut setup) = setup();
    setup.second_token();
    run(&setup, &["key", "create", "--label", HEALTH_KEY])
        .expect(0, &["made on hsm-b", "already on hsm-a"]);
    (directory, setup)
}

/// Puts one key into both tokens: the same one at each call.
fn clone_to_both(setup: &Setup, label: &str) {
    let value = setup.write_private("value", &"7".repeat(32));
    for token in [TOKEN_LABEL, OTHER_TOKEN] {
        let options = ["--label", label, "--value-file", value.to_str().unwrap()];
        setup.token.tool_on(token, "key", &options);
    }
}

/// The versions that `key list` has of a store.
#[track_caller]
fn listed(setup: &Setup, store: &str, code: i32) -> Vec<Value> {
    let ran = run(setup, &["key", "list", "--json", "--store", store]).expect(code, &[]);
    ran.json()["keys"].as_array().unwrap().clone()
}

#[test]
fn a_wrong_pin_is_tried_once() {
    let (_directory, mut setup) = setup();
    let controls = [setup.faulty_module(), setup.second_faulty_module()];
    let wrong = setup.write_private("wrong-pin", "0000");
    let right = format!("pin = {{ file = {:?} }}", setup.token.pin_file());
    for _ in 0..2 {
        setup.edit(&right, &format!("pin = {{ file = {wrong:?} }}"));
    }
    let commands: [(&[&str], i32); 4] = [
        (&["check-config", "--hsm"], 1),
        (&["key", "list"], 1),
        (&["key", "create", "--hsm", "hsm-b", "--label", "new"], 3),
        (&["key", "rotate", "--store", "root", "--key", "orders"], 3),
    ];
    for (at, (command, code)) in (1..).zip(commands) {
        run(&setup, command).expect(code, &["the token rejected the PIN", "it was tried once"]);
        let tries: u64 = controls.iter().map(|control| control.wrong_pins()).sum();
        assert_eq!(tries, at, "{command:?}: both HSMs are one token");
    }
    setup.token.accepts_its_pin();
}

#[test]
fn every_command_shows_how_it_is_called() {
    for command in ["create", "list", "rotate"] {
        let output = Command::new(env!("CARGO_BIN_EXE_xks-proxy"))
            .args(["key", command, "--help"])
            .output()
            .unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        let example = format!("Example:\n  xks-proxy key {command} --config");
        assert!(help.contains(&example), "{help}");
    }
}

#[test]
fn an_audit_trail_that_no_hsm_can_seal_fails_the_check() {
    let (_directory, mut setup) = setup();
    setup.audit("");
    // The other keys of this configuration have different errors.
    let ran = run(&setup, &["check-config", "--hsm"]);
    let ran = ran.expect(1, &["audit.key: ok: label \"xks-audit\""]);
    assert!(!ran.stderr.contains("FAULT audit.key"), "{ran}");
    setup.edit("key = \"xks-audit\"", "key = \"no-such-key\"");
    let parts = ["FAULT audit.key: no HSM has a key with label \"no-such-key\""];
    run(&setup, &["check-config", "--hsm"]).expect(1, &parts);
}
