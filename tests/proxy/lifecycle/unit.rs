//! The shipped systemd unit: it is correct, it restarts what must be restarted, and its reload works on a minimal system.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use crate::harness::Proxy;

const UNIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/xks-proxy.service");

/// Returns the settings of the unit. If a setting occurs twice, the last one counts.
fn settings() -> BTreeMap<String, String> {
    let text = fs::read_to_string(UNIT).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let pairs = lines.filter_map(|line| line.split_once('='));
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[test]
fn systemd_restarts_the_service_after_every_unrequested_end() {
    let settings = settings();
    assert_eq!(settings["Restart"], "always");
    assert_eq!(settings["RestartPreventExitStatus"], "2 78");
    assert_eq!(settings["StartLimitIntervalSec"], "0");
    assert!(!settings.contains_key("SuccessExitStatus"), "{settings:?}");
}

#[test]
fn systemd_finds_nothing_wrong_with_the_unit() {
    let directory = tempfile::tempdir().unwrap();
    // The program must exist, so the test uses the one of this build.
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
        // Build machines may lack systemd.
        return eprintln!("not checked: systemd-analyze is missing");
    };
    let stderr = String::from_utf8_lossy(&output.stderr);
    let about_it: Vec<_> = stderr
        .lines()
        .filter(|line| line.contains("xks-proxy.service"))
        .collect();
    assert!(output.status.success() && about_it.is_empty(), "{stderr}");
}

#[test]
fn the_reload_of_the_unit_needs_only_a_shell() {
    let proxy = Proxy::start();
    let settings = settings();
    let command = settings["ExecReload"].strip_prefix("/bin/sh -c ").unwrap();
    let script = command.trim_matches('\'');
    let status = Command::new("/bin/sh")
        .args(["-c", script])
        .env_clear()
        // An empty PATH: the command may use only builtins of the shell.
        .env("PATH", "/nonexistent")
        .env("MAINPID", proxy.daemon.id().to_string())
        .status()
        .unwrap();
    assert!(status.success());
    proxy.await_reload("unchanged", 0.0);
}
