//! The processes of the service: their number, the descriptors that they inherit, and that all end when one of them ends.

mod front;
mod worker;

use std::process::Command;

use rustix::process::Signal;

use crate::harness::process::{await_end, children, descriptors, runs};
use crate::harness::{PAYMENTS, Proxy};

#[test]
fn a_killed_front_ends_the_service_with_70() {
    let mut proxy = Proxy::start();
    let (launcher, front) = (proxy.daemon.id(), proxy.daemon.front());
    let children = children(launcher);
    assert!(
        children.len() == 2 && children.contains(&front),
        "front and worker: {children:?}"
    );
    proxy.daemon.signal_front(Signal::KILL);
    assert_eq!(proxy.daemon.wait().code(), Some(70));
    let log = proxy.daemon.log();
    let lines = log
        .iter()
        .filter(|line| line.contains("signal 9 ended the front"));
    assert_eq!(lines.count(), 1, "{log:?}");
    assert!(!runs(launcher));
    children.into_iter().for_each(await_end);
}

#[test]
fn a_killed_launcher_ends_the_front() {
    let mut proxy = Proxy::start();
    let front = proxy.daemon.front();
    proxy.daemon.signal(Signal::KILL);
    assert_eq!(proxy.daemon.wait().code(), None);
    await_end(front);
}

#[test]
fn sigterm_to_all_processes_of_the_service_is_one_sigterm() {
    let mut proxy = Proxy::start();
    for _ in 0..5 {
        proxy.daemon.signal_front(Signal::TERM);
        proxy.daemon.signal(Signal::TERM);
        if proxy.daemon.has_ended() {
            break;
        }
    }
    assert_eq!(proxy.daemon.wait().code(), Some(0));
}

#[test]
fn descriptors_of_the_service_manager_do_not_reach_the_front() {
    let leaks = "exec 7</dev/zero 8</dev/full; exec \"$@\"";
    let proxy = Proxy::start_with(|setup| {
        setup.command = ["sh", "-c", leaks, "sh"].map(str::to_owned).to_vec();
    });
    let leaked = |process| {
        let all = descriptors(process).into_iter();
        all.filter(|(_, target)| target == "/dev/zero" || target == "/dev/full")
            .count()
    };
    assert_eq!(
        leaked(proxy.daemon.id()),
        2,
        "the launcher inherits them from the shell"
    );
    assert_eq!(leaked(proxy.daemon.front()), 0);
    let inherited = descriptors(proxy.daemon.front());
    assert_eq!(inherited[0], (0, "/dev/null".to_owned()));
    proxy.caller(&PAYMENTS).encrypt("orders", b"x");
}

#[test]
fn a_service_without_a_state_directory_warns_in_its_log() {
    let state = |directory: &str| {
        let variable = ("STATE_DIRECTORY".to_owned(), directory.to_owned());
        let proxy = Proxy::start_with(|setup| setup.variables.push(variable));
        proxy.daemon.wait_for("a warning", |line| {
            let reason = line["reason"].as_str().unwrap_or_default();
            line["message"] == "warning of the launcher" && reason.contains("after a restart")
        });
    };
    state("");
    state("/nonexistent/state");
}

#[test]
fn internal_commands_cannot_be_run_by_a_user() {
    for command in ["front", "worker --hsm a"] {
        let words = command.split(' ');
        let output = Command::new(env!("CARGO_BIN_EXE_xks-proxy"))
            .args(words)
            .args(["--config", "/nonexistent"])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{command}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains("internal command"), "{error}");
    }
}

#[test]
fn a_bad_configuration_is_the_exit_code_of_the_service() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.toml");
    std::fs::write(&file, "nonsense = 1").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_xks-proxy"))
        .args(["serve", "--config"])
        .arg(&file)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(78));
    let error = String::from_utf8(output.stderr).unwrap();
    let begin = format!(
        "xks-proxy: {}: the configuration has errors",
        file.display()
    );
    assert!(error.starts_with(&begin), "{error}");
}
