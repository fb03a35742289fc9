//! SoftHSM in a worker's sandbox.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::harness::{Place, example, run_with};
use crate::strings;

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";

#[test]
fn softhsm_works_where_its_token_directory_is_writable() {
    let place = Place::new();
    let (tokens, conf) = (place.path("tokens"), place.path("softhsm2.conf"));
    fs::create_dir(&tokens).unwrap();
    fs::write(&conf, format!("directories.tokendir = {tokens}\n")).unwrap();
    let pin = place.path("pin");
    fs::write(&pin, "1234").unwrap();
    let environment = [("SOFTHSM2_CONF", Path::new(&conf))];
    let made = Command::new(example("softhsm-token"))
        .args(["init", "--module", MODULE, "--token", "xks"])
        .args(["--pin-file", &pin, "--so-pin-file", &pin])
        .envs(environment)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");

    let acts = strings!["token:{MODULE}|{pin}"];
    let writable = strings!["writable={tokens}"];
    let report = run_with("worker", writable, acts, &environment);
    assert_eq!(report.of(&acts[0]), "ok");
    // Without `writable` the key cannot be stored, which proves that the sandbox is active.
    let report = run_with("worker", &[], acts, &environment);
    assert_ne!(report.of(&acts[0]), "ok");
    // The front loads no library.
    let report = run_with("front", writable, acts, &environment);
    assert_ne!(report.of(&acts[0]), "ok");
}
