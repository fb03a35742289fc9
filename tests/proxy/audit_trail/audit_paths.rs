//! `audit.path` that cannot be that of a trail: `check-config` and the start say the same, and neither writes anything.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::command::Ran;
use crate::harness::setup::Setup;

/// Runs both commands with this path; gives what they said, which is code 78 of both.
#[track_caller]
fn refused(setup: &Setup, path: &Path, part: &str) {
    let before = content(&setup.directory);
    let toml = format!("{}\n[audit]\npath = {path:?}\n", setup.toml());
    let file = setup.write_private("config.toml", &toml);
    for command in ["check-config", "serve"] {
        let ran = command_on(command, &file);
        ran.expect(78, &["audit", part]);
    }
    fs::remove_file(file).unwrap();
    assert_eq!(content(&setup.directory), before, "{path:?}");
}

fn command_on(command: &str, file: &Path) -> Ran {
    let mut run = Command::new(env!("CARGO_BIN_EXE_xks-proxy"));
    run.arg(command).arg("--config").arg(file);
    run.output().unwrap().into()
}

/// Every file below a directory, with its length.
fn content(directory: &Path) -> BTreeMap<PathBuf, u64> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(content(&path));
        } else {
            let length = path.symlink_metadata().map_or(0, |m| m.len());
            found.insert(path, length);
        }
    }
    found
}

#[test]
fn a_path_that_cannot_be_a_trail_is_refused_by_both() {
    let directory = tempfile::tempdir().unwrap();
    let setup = Setup::new(directory.path());
    let path = |name: &str| directory.path().join(name);
    fs::create_dir(path("there")).unwrap();
    std::os::unix::fs::symlink("/dev/stderr", path("link")).unwrap();
    fs::write(path("note"), "not a trail\n").unwrap();
    fs::write(
        path("packed"),
        b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x03\0\0\0\0\0\0\0\0\0",
    )
    .unwrap();
    fs::create_dir(path("taken.lock")).unwrap();
    fs::write(path("file"), "").unwrap();
    let cases = [
        (path("missing/audit.jsonl"), "No such file"),
        (path("file/audit.jsonl"), "not a directory"),
        (path("there"), "it is a directory"),
        (path("link"), "it is a symbolic link"),
        ("/dev/null".into(), "it is a device"),
        ("/dev/stdout".into(), "it is a symbolic link"),
        (path("note"), "is not an audit trail"),
        (path("packed"), "is not an audit trail"),
        (path("taken"), "taken.lock"),
    ];
    for (path, part) in cases {
        refused(&setup, &path, part);
    }
}

#[test]
fn a_path_that_the_configuration_names_for_something_else_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let mut setup = Setup::new(directory.path());
    let path = |name: &str| directory.path().join(name);
    let rules = path("policy");
    fs::create_dir(&rules).unwrap();
    let permit = "@id(\"all\") permit(principal, action, resource);";
    fs::write(rules.join("rules.cedar"), permit).unwrap();
    setup.append(&format!("[policy]\nengine = \"cedar\"\npath = {rules:?}\n"));
    let pin = setup.token.pin_file();
    fs::hard_link(&pin, path("pin.other")).unwrap();
    let other = "the same file, for another purpose";
    let named = [
        pin.to_path_buf(),
        path("pin.other"),
        path("config.toml"),
        path("policy/rules.cedar"),
        setup.token.module().to_path_buf(),
    ];
    for path in named {
        refused(&setup, &path, other);
    }
    let inside = "whose files the configuration is read from";
    refused(&setup, &rules.join("audit.jsonl"), inside);
    refused(&setup, &rules.join("../policy/audit.jsonl"), inside);
}

#[test]
fn a_trail_that_is_written_passes() {
    let mut trail = None;
    let proxy = crate::harness::Proxy::start_with(|setup| trail = Some(setup.audit("")));
    let before = fs::read(trail.unwrap().path()).unwrap();
    assert!(!before.is_empty());
    crate::harness::command::run(&proxy.setup, &["check-config"]).expect(0, &["ok"]);
}
