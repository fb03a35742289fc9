//! Keys and devices that have no AES-GCM: nothing is made for them, no PIN is used for them, and they are named.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::thread;

use cryptoki_sys::CKR_MECHANISM_INVALID;

use super::{remove_unusable_keys, run, setup};
use crate::harness::command::Ran;
use crate::harness::control::{Control, Dialect, FOREVER, Function};
use crate::harness::dialect::Spoken;
use crate::harness::setup::Setup;

#[test]
fn a_key_without_aes_gcm_is_not_a_key_for_kms() {
    let (_directory, setup) = setup();
    let options = ["--label", "absent", "--cbc-only"];
    setup.token.tool("key", &options);
    let why = "cannot encrypt with AES-GCM: CKR_MECHANISM_INVALID (0x70) in C_EncryptInit";
    let fault = format!("FAULT payments/absent version 1: on hsm-a it {why}");
    run(&setup, &["check-config", "--hsm"]).expect(1, &[&fault]);
    let rejected = format!("rejects: {why}");
    run(&setup, &["key", "list"]).expect(1, &[&rejected, &fault]);
}

#[test]
fn a_key_whose_value_can_leave_the_hsm_is_a_warning() {
    let (_directory, mut setup) = setup();
    let options = ["--label", "absent", "--extractable"];
    setup.token.tool("key", &options);
    remove_unusable_keys(&mut setup);
    let warning =
        "payments/absent version 1: on hsm-a it is extractable: its value can leave the HSM";
    let expected = format!("warning: {warning}");
    run(&setup, &["check-config", "--hsm"]).expect(0, &[&expected]);
    run(&setup, &["check-config", "--hsm", "--strict"]).expect(1, &[&expected]);
    let report = run(&setup, &["check-config", "--hsm", "--json"]).expect(0, &[]);
    assert_eq!(report.json()["checks"]["warnings"][0], warning);
    let expected = format!("WARNING {warning}");
    run(&setup, &["key", "list"]).expect(0, &["EXTRACTABLE", &expected]);
}

#[test]
fn a_device_without_aes_gcm_gets_no_pin_and_no_key() {
    let (_directory, mut setup) = setup();
    let control = setup.faulty_module();
    control.set_dialect(Dialect::NoGcm);
    let commands: [(&[&str], i32); 4] = [
        (&["check-config", "--hsm"], 1),
        (&["key", "list"], 1),
        (&["key", "create", "--label", "new"], 3),
        (&["key", "rotate", "--store", "root", "--key", "orders"], 3),
    ];
    for (command, code) in commands {
        run(&setup, command).expect(code, &["has no CKM_AES_GCM"]);
    }
    let made = control.calls(Function::GenerateKey);
    assert_eq!((control.calls(Function::Login), made), (0, 0));
}

#[test]
fn a_device_whose_aes_gcm_fails_gets_no_key_that_stays() {
    let (_directory, mut setup) = setup();
    let control = setup.faulty_module();
    setup.set("hsm", "health_key", "\"made-later\"");
    control.fail_next(Function::EncryptInit, CKR_MECHANISM_INVALID, FOREVER);
    for label in ["new", "made-later"] {
        let create = ["key", "create", "--label", label];
        run(&setup, &create).expect(
            1,
            &[
                "AES-GCM does not work on the token",
                "CKR_MECHANISM_INVALID (0x70) in C_EncryptInit",
                "nothing was made",
            ],
        );
    }
    assert!(control.calls(Function::GenerateKey) > 0, "it was tried");
    control.clear_faults();
    // Neither is taken.
    for label in ["new", "made-later"] {
        run(&setup, &["key", "create", "--label", label]).expect(0, &["made on hsm-a"]);
    }
}

/// The ids of keys in the output of a command.
fn named(ran: &Ran) -> BTreeSet<String> {
    let output = format!("{}{}", ran.stdout, ran.stderr);
    let parts = output.split("CKA_ID ").skip(1);
    let id = |part: &str| {
        part.split(|c: char| !c.is_ascii_hexdigit())
            .next()
            .map(str::to_owned)
    };
    parts.filter_map(id).collect()
}

/// Makes a key with a module that is steered by this file.
fn create_by(setup: &Setup, control: &Path, label: &str) -> Ran {
    // The module takes its environment from the configuration.
    let shared = setup.control_file("a").display().to_string();
    let text = setup
        .toml()
        .replace(&shared, &control.display().to_string());
    let name = control.file_name().unwrap().display();
    let file = setup.write_private(&format!("{name}.toml"), &text);
    let output = Command::new(env!("CARGO_BIN_EXE_xks-proxy"))
        .args(["key", "create", "--label", label, "--config"])
        .arg(file)
        .envs(setup.variables.clone())
        .env("FAULTY_PKCS11_CONTROL", control)
        .output();
    output.unwrap().into()
}

#[test]
fn two_keys_that_are_made_at_once_are_both_named() {
    let (_directory, mut setup) = setup();
    setup.faulty_module();
    // A module of each process counts its own calls.
    let controls = ["a", "b"].map(|device| setup.control_file(device));
    // Both find the label free before either makes its key.
    for control in &controls {
        let control = Control::open(control).unwrap();
        control.set_delay(Function::GenerateKey, 500_000);
        if let Some(dialect) = Spoken::under_test().device {
            control.set_dialect(dialect);
        }
    }
    for attempt in 0..20 {
        let label = format!("twice-{attempt}");
        let [one, other] = thread::scope(|scope| {
            let threads = controls
                .each_ref()
                .map(|control| scope.spawn(|| create_by(&setup, control, &label)));
            threads.map(|thread| thread.join().unwrap())
        });
        // On a busy machine one may have been there long before the other. SoftHSM then may hide its key from the other one.
        let both = [&one, &other];
        let is_late = both
            .iter()
            .any(|ran| ran.stderr.contains("nothing was made"));
        if is_late || both.iter().all(|ran| ran.code == Some(0)) {
            continue;
        }
        let failed = if one.code == Some(0) { &other } else { &one };
        let why = format!("2 keys have label {label:?}");
        assert_eq!(failed.code, Some(1), "{failed}");
        assert!(failed.stderr.contains(&why), "{failed}");
        assert_eq!(named(failed).len(), 2, "{failed}");
        return;
    }
    panic!("two commands never overlapped");
}
