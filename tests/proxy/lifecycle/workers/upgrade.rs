//! The file of the library is replaced under load.

use std::fs;
use std::path::PathBuf;

use super::load::under_load;
use super::{only_worker, successor};
use crate::harness::metrics::eventually;
use crate::harness::outage::{await_proofs, faulty_with};
use crate::harness::token::example;

/// A new file is written and renamed over the old one, as a package manager does.
#[test]
fn a_replaced_library_is_loaded_by_a_new_worker_and_no_request_fails() {
    let mut library = PathBuf::new();
    let (proxy, _device) = faulty_with(|setup| {
        library = setup.directory.join("vendor.so");
        fs::copy(example("libfaulty_pkcs11.so"), &library).unwrap();
        setup.set_path("hsm", "module", &library);
    });
    await_proofs(&proxy, &["hsm-a"]);
    let mut worker = only_worker(&proxy, "hsm-a");
    let tally = under_load(&proxy, 4, |tally| {
        for _ in 0..2 {
            let new = library.with_extension("new");
            fs::copy(example("libfaulty_pkcs11.so"), &new).unwrap();
            fs::rename(&new, &library).unwrap();
            worker = successor(&proxy, "hsm-a", worker);
            let before = tally.done();
            eventually("requests", || (tally.done() > before + 10).then_some(()));
        }
    });
    tally.assert_none_failed();
    let maps = fs::read_to_string(format!("/proc/{worker}/maps")).unwrap();
    let mapped = maps.lines().filter(|line| line.contains("vendor.so"));
    assert!(
        mapped.clone().count() > 0 && !maps.contains("(deleted)"),
        "{maps}"
    );
}

/// The new file is not a library: the old worker continues.
#[test]
fn an_invalid_new_library_is_not_used() {
    let mut library = PathBuf::new();
    let (proxy, _device) = faulty_with(|setup| {
        library = setup.directory.join("vendor.so");
        fs::copy(example("libfaulty_pkcs11.so"), &library).unwrap();
        setup.set_path("hsm", "module", &library);
    });
    let worker = only_worker(&proxy, "hsm-a");
    let tally = under_load(&proxy, 2, |tally| {
        let new = library.with_extension("new");
        fs::write(&new, b"this is not a library").unwrap();
        fs::rename(&new, &library).unwrap();
        proxy.daemon.wait_for("that it cannot be used", |line| {
            line["message"] == "a new worker cannot open the HSM; the old one keeps serving"
        });
        let before = tally.done();
        eventually("requests", || (tally.done() > before + 100).then_some(()));
    });
    tally.assert_none_failed();
    assert!(crate::harness::process::runs(worker));
}
