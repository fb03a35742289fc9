//! All PKCS#11 errors are shown with the standard's name, the number, the function and a hint.

use cryptoki_sys::{CKR_GENERAL_ERROR, CKR_PIN_LOCKED, CKR_TOKEN_NOT_RECOGNIZED};

use crate::harness::Proxy;
use crate::harness::command::{Ran, run};
use crate::harness::control::{Control, FOREVER, Function};
use crate::harness::setup::Setup;

/// Texts of the crate `cryptoki`, which do not help operators.
const PROSE: [&str; 4] = [
    "horrible",
    "PKCS11 error",
    "Function::",
    "not available in this error return",
];

fn faulty() -> (tempfile::TempDir, Setup, Control) {
    let directory = tempfile::tempdir().unwrap();
    let mut setup = Setup::new(directory.path());
    let control = setup.faulty_module();
    (directory, setup, control)
}

#[track_caller]
fn assert_plain(output: &str) {
    for prose in PROSE {
        assert!(!output.contains(prose), "{prose:?} is in:\n{output}");
    }
}

#[track_caller]
fn output(ran: &Ran) -> String {
    format!("{}{}", ran.stdout, ran.stderr)
}

#[test]
fn every_call_of_a_command_fails_with_name_number_and_function() {
    let (_directory, setup, control) = faulty();
    for (function, name) in [
        (Function::Initialize, "C_Initialize"),
        (Function::GetSlotList, "C_GetSlotList"),
        (Function::GetMechanismList, "C_GetMechanismList"),
        (Function::OpenSession, "C_OpenSession"),
        (Function::Login, "C_Login"),
        (Function::FindObjectsInit, "C_FindObjectsInit"),
        (Function::EncryptInit, "C_EncryptInit"),
        (Function::Encrypt, "C_Encrypt"),
    ] {
        control.fail_next(function, CKR_GENERAL_ERROR, FOREVER);
        for command in [&["check-config", "--hsm"][..], &["key", "list"]] {
            let ran = run(&setup, command);
            let ran = ran.expect(1, &[&format!("CKR_GENERAL_ERROR (0x5) in {name}: ")]);
            assert_plain(&output(&ran));
        }
        control.clear_faults();
    }
}

#[test]
fn the_log_shows_which_call_failed_and_what_to_do() {
    for (function, code, text) in [
        (
            Function::Login,
            CKR_PIN_LOCKED,
            "CKR_PIN_LOCKED (0xa4) in C_Login: the token locked the PIN",
        ),
        (
            Function::OpenSession,
            CKR_TOKEN_NOT_RECOGNIZED,
            "CKR_TOKEN_NOT_RECOGNIZED (0xe1) in C_OpenSession: the library does not recognize the token",
        ),
    ] {
        let proxy = Proxy::launch(|setup| {
            let control = setup.faulty_module();
            control.fail_next(function, code, FOREVER);
        });
        let line = proxy.daemon.wait_for("why not", |line| {
            line["message"] == "the HSM cannot be opened"
        });
        let error = line["error"].as_str().unwrap();
        assert!(error.contains(text), "{error}");
        assert_plain(&proxy.daemon.log().join("\n"));
    }
}
