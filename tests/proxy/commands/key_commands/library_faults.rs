//! A library that hangs, crashes or exits: the command reports it for that HSM, shows the others, and ends.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::{run, setup, two_hsms};
use crate::harness::control::{Control, Function, ProcessEnd};
use crate::harness::setup::Setup;

/// Two tokens. The library of `hsm-a` can be made to fail, and has little time to open its token.
fn faulty_and_other() -> (TempDir, Setup, Control) {
    let (directory, mut setup) = two_hsms();
    let control = setup.faulty_module();
    setup.set("hsm", "open_timeout", "\"3s\"");
    (directory, setup, control)
}

/// The command lines of processes that name a file of this directory.
fn processes(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap();
    let lines = entries.filter_map(|entry| {
        let line = fs::read(entry.ok()?.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&line).replace('\0', " "))
    });
    let directory = directory.to_str().unwrap();
    lines.filter(|line| line.contains(directory)).collect()
}

#[test]
fn a_library_that_hangs_while_its_token_is_opened_costs_this_hsm_only() {
    let (directory, setup, control) = faulty_and_other();
    let hangs = "the HSM hangs: no answer within 3s";
    for function in [
        Function::Initialize,
        Function::GetSlotList,
        Function::Login,
        Function::FindObjects,
    ] {
        control.hang(function, true);
        let ran = run(&setup, &["check-config", "--hsm"]);
        let ran = ran.expect(1, &[&format!("hsm-a: cannot be opened: {hangs}")]);
        assert!(ran.stdout.contains("hsm-b: ok: "), "{function:?}: {ran}");
        assert_eq!(processes(directory.path()), Vec::<String>::new());
        run(&setup, &["key", "list"]).expect(1, &[hangs]);
        let create = ["key", "create", "--hsm", "hsm-a", "--label", "new"];
        run(&setup, &create).expect(3, &[hangs, "nothing was made"]);
        assert!(control.stuck(function) >= 1, "{function:?}");
        control.clear_faults();
    }
}

#[test]
fn a_library_that_ends_its_process_costs_this_hsm_only() {
    let (_directory, setup, control) = faulty_and_other();
    let ends = [
        (ProcessEnd::Signal(11), "killed by signal 11"),
        (ProcessEnd::Signal(6), "killed by signal 6"),
        (ProcessEnd::Exit(0), "exited with code 0"),
    ];
    let functions = [
        Function::Initialize,
        Function::Login,
        Function::FindObjects,
        Function::GetAttributeValue,
    ];
    for (function, (end, words)) in functions.into_iter().zip(ends.into_iter().cycle()) {
        control.end_process(function, end);
        let part =
            format!("hsm-a: cannot be opened: the process of the PKCS#11 library ended: {words}");
        let ran = run(&setup, &["check-config", "--hsm"]).expect(1, &[&part]);
        assert!(ran.stdout.contains("hsm-b: ok: "), "{function:?}: {ran}");
        control.clear_faults();
    }
}

#[test]
fn a_library_that_fails_while_it_makes_a_key_does_not_hang_the_command() {
    let (directory, mut setup) = setup();
    let control = setup.faulty_module();
    let create = ["key", "create", "--label", "new"];
    control.end_process(Function::GenerateKey, ProcessEnd::Signal(11));
    run(&setup, &create).expect(3, &["hsm-a: the process", "killed by signal 11"]);
    control.clear_faults();
    // The limit of each request that is not the opening.
    control.hang(Function::GenerateKey, true);
    run(&setup, &create).expect(3, &["hsm-a: the HSM hangs: no answer within 60s"]);
    assert_eq!(control.stuck(Function::GenerateKey), 1);
    assert_eq!(processes(directory.path()), Vec::<String>::new());
}

#[test]
fn a_library_error_while_keys_are_tried_is_attributed_to_its_hsm() {
    let (_directory, setup, control) = faulty_and_other();
    // The health key is not this one: the opening succeeds.
    control.fail_only_key("orders");
    control.end_process(Function::EncryptInit, ProcessEnd::Exit(3));
    let ended = "hsm-a: it failed while it was checked: the process of the PKCS#11 library ended: exited with code 3";
    let ran = run(&setup, &["check-config", "--hsm"]).expect(1, &[ended]);
    assert!(ran.stdout.contains("hsm-b: ok: "), "{ran}");
    assert!(!ran.stdout.contains("hsm-a: ok"), "{ran}");
}

#[test]
fn no_pin_is_tried_again_at_a_token_during_whose_login_the_library_failed() {
    let (_directory, mut setup) = setup();
    let (a, b) = (setup.faulty_module(), setup.second_faulty_module());
    a.end_process(Function::Login, ProcessEnd::Signal(11));
    let parts = [
        "killed by signal 11",
        "hsm-b: cannot be opened: no login is tried",
    ];
    run(&setup, &["check-config", "--hsm"]).expect(1, &parts);
    assert_eq!((a.calls(Function::Login), b.calls(Function::Login)), (1, 0));
}

#[test]
fn lines_of_a_library_are_shown_with_the_name_of_its_hsm() {
    let (_directory, mut setup) = setup();
    let _control = setup.faulty_module();
    setup.module_variable("FAULTY_PKCS11_MODULE", "/no/such/module.so");
    let ran = run(&setup, &["check-config", "--hsm"]).expect(1, &[]);
    let mut lines = ran.stderr.lines();
    let is_shown = lines.any(|line| line.starts_with("hsm-a: faulty-pkcs11: "));
    assert!(is_shown, "{ran}");
}
