//! The shipped systemd unit: it is correct, it restarts what must be restarted, and its reload works on a minimal system.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use crate::harness::Proxy;

const UNIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/xks-proxy.service");

/// The settings of the unit; of those that are there twice, the last.
fn settings() -> BTreeMap<String, String> {
    let text = fs::read_to_string(UNIT).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let pairs = lines.filter_map(|line| line.split_once('='));
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[test]
fn every_end_that_nobody_asked_for_is_followed_by_a_start() {
    let settings = settings();
    assert_eq!(settings["Restart"], "always");
    assert_eq!(settings["RestartPreventExitStatus"], "2 78");
    assert_eq!(settings["StartLimitIntervalSec"], "0");
    assert!(!settings.contains_key("SuccessExitStatus"), "{settings:?}");
}

#[test]
fn systemd_finds_nothing_wrong_with_the_unit() {
    let directory = tempfile::tempdir().unwrap();
    // What it starts must be there: here, the program of this build.
    let program = env!("CARGO_BIN_EXE_xks-proxy");
    let text = fs::read_to_string(UNIT).unwrap();
    let installed = directory.path().join("xks-proxy.service");
    fs::write(
        &installed,
        text.replace("/usr/local/bin/xks-proxy", program),
    )
    .unwrap();
    let verified = Command::new("systemd-analyze")
        .args(["verify", "--man=no", "--recursive-errors=no"])
        .arg(&installed)
        .output();
    let Ok(output) = verified else {
        // Not every machine that builds has systemd; where the unit runs, it is there.
        return eprintln!("not checked: systemd-analyze is missing");
    };
    let said = String::from_utf8_lossy(&output.stderr);
    let about_it: Vec<_> = said
        .lines()
        .filter(|line| line.contains("xks-proxy.service"))
        .collect();
    assert!(output.status.success() && about_it.is_empty(), "{said}");
}

#[test]
fn the_reload_of_the_unit_needs_a_shell_only() {
    let proxy = Proxy::start();
    let settings = settings();
    let command = settings["ExecReload"].strip_prefix("/bin/sh -c ").unwrap();
    let script = command.trim_matches('\'');
    let status = Command::new("/bin/sh")
        .args(["-c", script])
        .env_clear()
        // Nothing is found there: what it calls must be the shell's own.
        .env("PATH", "/nonexistent")
        .env("MAINPID", proxy.daemon.id().to_string())
        .status()
        .unwrap();
    assert!(status.success());
    proxy.await_reload("unchanged", 0.0);
}
