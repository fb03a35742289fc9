//! The command line and the configuration: exit codes, and reports of all errors at once.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::harness::Proxy;
use crate::harness::setup::Setup;

/// Exit code, standard output and standard error of `xks-proxy` with these arguments.
pub fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(env!("CARGO_BIN_EXE_xks-proxy"))
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (status.code(), text(&stdout), text(&stderr))
}

/// Changes a configuration in a new directory, and returns the outcome of a command on it.
fn with_configuration(
    command: &[&str],
    change: impl FnOnce(&mut Setup),
) -> (Option<i32>, String, String) {
    let directory = tempfile::tempdir().unwrap();
    let mut setup = Setup::new(directory.path());
    change(&mut setup);
    let file = setup.write();
    let arguments = [command, &["--config", file.to_str().unwrap()]].concat();
    run(&arguments)
}

#[test]
fn a_good_configuration_is_ok() {
    let (code, stdout, _) = with_configuration(&["check-config"], |_| {});
    assert_eq!(code, Some(0));
    assert!(stdout.contains("ok"), "{stdout}");
    let (code, stdout, _) = with_configuration(&["check-config", "--json"], |_| {});
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &report["ok"]), (Some(0), &Value::Bool(true)));
}

fn break_three_things(setup: &mut Setup) {
    setup.set("server", "listne", "[\"127.0.0.1:0\"]");
    setup.set("server.limits", "request_timeout", "\"soon\"");
    setup.set("hsm", "sessions", "0");
}

#[test]
fn all_errors_are_reported_at_once() {
    for command in ["check-config", "serve"] {
        let (code, stdout, stderr) = with_configuration(&[command], break_three_things);
        assert_eq!(code, Some(78), "{command}: {stdout}{stderr}");
        for part in [
            "server.listne: is unknown; did you mean \"listen\"?",
            "server.limits.request_timeout: is not a duration",
            "hsm[0].sessions: must be from 1 to 1024",
            "line ",
        ] {
            assert!(
                stderr.contains(part),
                "{command}: {part} is not in:\n{stderr}"
            );
        }
    }
    let (code, stdout, _) = with_configuration(&["check-config", "--json"], break_three_things);
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(code, Some(78));
    assert_eq!(
        report["faults"].as_array().map(Vec::len),
        Some(3),
        "{report}"
    );
    assert!(report["faults"][0]["line"].is_u64() && report["faults"][0]["key"].is_string());
}

#[test]
fn a_required_key_that_is_gone_is_named() {
    let (code, _, stderr) =
        with_configuration(&["check-config"], |setup| setup.unset("server", "listen"));
    assert_eq!(code, Some(78));
    assert!(
        stderr.contains("server.listen: is missing; for example"),
        "{stderr}"
    );
}

#[test]
fn an_audit_trail_that_cannot_be_opened_stops_the_start() {
    let (code, _, stderr) = with_configuration(&["serve"], |setup| {
        setup.append("[audit]\npath = \"/nowhere/audit.jsonl\"\n");
    });
    assert_eq!(code, Some(78));
    assert!(stderr.contains("audit: cannot use /nowhere"), "{stderr}");
}

#[test]
fn secret_files_that_everybody_can_read_are_an_error_unless_they_are_allowed() {
    let expose = |setup: &mut Setup| {
        let pin = setup.token.pin_file();
        fs::set_permissions(pin, fs::Permissions::from_mode(0o644)).unwrap();
    };
    for command in ["check-config", "serve"] {
        let (code, _, stderr) = with_configuration(&[command], expose);
        assert_eq!(code, Some(78), "{stderr}");
        assert!(
            stderr.contains("hsm[0].pin: everybody can read") && stderr.contains("chmod o-r"),
            "{stderr}"
        );
    }
    let (code, _, stderr) = with_configuration(&["check-config"], |setup| {
        expose(setup);
        let danger = "danger_world_readable_secrets = true\n[admin]";
        setup.edit("[admin]", danger);
    });
    assert_eq!(code, Some(0), "{stderr}");
    assert!(
        stderr.contains("warning: ") && stderr.contains("hsm[0].pin: everybody can read"),
        "{stderr}"
    );
}

#[test]
fn a_configuration_that_everybody_can_write_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let setup = Setup::new(directory.path());
    let file = setup.write();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    for command in ["check-config", "serve"] {
        let (code, _, stderr) = run(&[command, "--config", file.to_str().unwrap()]);
        assert_eq!(code, Some(78), "{stderr}");
        let advice = "config.toml (mode 0666); chmod o-w it";
        assert!(
            stderr.contains("everybody can write ") && stderr.contains(advice),
            "{stderr}"
        );
    }
}

#[test]
fn strict_makes_warnings_an_exit_code() {
    let well = |setup: &mut Setup| setup.unset("server.limits", "request_timeout");
    let warned = |setup: &mut Setup| {
        well(setup);
        setup.edit("\"/closed\"", "\"/closed/kms/xks/v1\"");
        setup.edit("region = \"us-east-1\"", "region = \"euwest\"");
    };
    let warnings = [
        "warning: line ",
        "key_store[3].path_prefix: looks like a whole XksProxyUriPath",
        "key_store[1].region: \"euwest\" is not the name of a known AWS region",
    ];
    for (options, expected) in [
        (&["check-config"][..], 0),
        (&["check-config", "--strict"], 1),
    ] {
        let (code, stdout, stderr) = with_configuration(options, warned);
        assert_eq!(code, Some(expected), "{stderr}");
        assert!(
            warnings.iter().all(|part| stderr.contains(part)),
            "{stderr}"
        );
        assert_eq!(stdout.contains(": ok"), expected == 0, "{stdout}");
        let (code, stdout, _) = with_configuration(&[options, &["--json"]].concat(), warned);
        let report: Value = serde_json::from_str(&stdout).unwrap();
        assert_eq!(
            (code, &report["ok"]),
            (Some(expected), &(expected == 0).into())
        );
        assert_eq!(
            report["warnings"].as_array().map(Vec::len),
            Some(3),
            "{report}"
        );
    }
    // No test has a certificate of a public authority: without the others this warning is left.
    let (_, stdout, _) = with_configuration(&["check-config", "--json"], well);
    let report: Value = serde_json::from_str(&stdout).unwrap();
    let keys: Vec<&Value> = report["warnings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|w| &w["key"])
        .collect();
    assert_eq!(keys, ["server.tls.certificate"]);
}

#[test]
fn a_missing_file_and_wrong_usage_have_their_own_codes() {
    let missing = Path::new("/nonexistent/config.toml").to_str().unwrap();
    let (code, _, stderr) = run(&["check-config", "--config", missing]);
    assert_eq!(code, Some(78), "{stderr}");
    for usage in [
        &["serve"][..],
        &["check-config"],
        &["dance"],
        &[],
        &["serve", "--config"],
    ] {
        assert_eq!(run(usage).0, Some(2), "{usage:?}");
    }
}

#[test]
fn help_shows_an_example_and_version_a_version() {
    for command in ["serve", "check-config"] {
        let (code, stdout, _) = run(&[command, "--help"]);
        assert_eq!(code, Some(0));
        assert!(
            stdout.contains("Example:") && stdout.contains("--config"),
            "{stdout}"
        );
    }
    assert!(run(&["--version"]).1.starts_with("xks-proxy "));
}

#[test]
fn a_port_that_is_taken_ends_the_start_with_its_name() {
    let first = Proxy::start();
    let address = first.server.to_string();
    let directory = tempfile::tempdir().unwrap();
    let mut setup = Setup::new(directory.path());
    setup.set("server", "listen", &format!("[{address:?}]"));
    let file = setup.write();
    let output = Command::new(env!("CARGO_BIN_EXE_xks-proxy"))
        .args(["serve", "--config"])
        .arg(file)
        .envs(setup.variables.clone())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(70));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains(&address), "{stderr}");
}
