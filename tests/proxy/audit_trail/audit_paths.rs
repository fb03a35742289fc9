//! Values of `audit.path` that cannot be used: `check-config` and the start report the same error, and neither writes anything.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::command::Ran;
use crate::harness::setup::Setup;

/// Runs both commands with this path. Both must end with exit code 78 and this part of a message.
#[track_caller]
fn assert_rejected(setup: &Setup, path: &Path, part: &str) {
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

/// Returns every file below a directory, with its length.
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
fn unusable_paths_are_rejected_by_both_commands() {
    let directory = tempfile::tempdir().unwrap();
    let setup = Setup::new(directory.path());
    let path = |name: &str| directory.path().join(name);
    fs::create_dir(path("there")).unwrap();
    std::os::unix::fs::symlink("/dev/stderr", path("link")).unwrap();
    fs::write(path("note"), "not an audit trail\n").unwrap();
    fs::write(
        path("compressed"),
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
        (path("compressed"), "is not an audit trail"),
        (path("taken"), "taken.lock"),
    ];
    for (path, part) in cases {
        assert_rejected(&setup, &path, part);
    }
}

#[test]
fn a_path_with_another_use_in_the_configuration_is_rejected() {
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
        assert_rejected(&setup, &path, other);
    }
    let inside = "whose files the configuration is read from";
    assert_rejected(&setup, &rules.join("audit.jsonl"), inside);
    assert_rejected(&setup, &rules.join("../policy/audit.jsonl"), inside);
}

#[test]
fn an_audit_trail_in_use_is_accepted() {
    let mut trail = None;
    let proxy = crate::harness::Proxy::start_with(|setup| trail = Some(setup.audit("")));
    let before = fs::read(trail.unwrap().path()).unwrap();
    assert!(!before.is_empty());
    crate::harness::command::run(&proxy.setup, &["check-config"]).expect(0, &["ok"]);
}
