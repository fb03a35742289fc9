//! Attempts with a wrong PIN are limited across crashes of workers, restarts of the service, and commands.

use std::env;
use std::fs;

use rustix::process::Signal;

use crate::harness::Proxy;
use crate::harness::command::run;
use crate::harness::control::{Control, Function, Misdeed};
use crate::harness::daemon::{Daemon, state_directory};
use crate::harness::metrics::eventually;
use crate::harness::process::signal;
use crate::harness::setup::Setup;
use crate::harness::token::PIN;

/// Two `[[hsm]]` tables select one token, with a wrong PIN.
fn wrong_pins(setup: &mut Setup) -> [Control; 2] {
    let controls = [setup.faulty_module(), setup.second_faulty_module()];
    let wrong = setup.write_private("wrong-pin", "000000");
    let right = format!("pin = {{ file = {:?} }}", setup.token.pin_file());
    for _ in 0..2 {
        setup.edit(&right, &format!("pin = {{ file = {wrong:?} }}"));
    }
    controls
}

fn attempts(controls: &[Control; 2]) -> u64 {
    let logins = controls
        .iter()
        .map(|control| control.calls(Function::Login));
    logins.sum()
}

/// The texts of a command that makes no attempt.
const NOT_TRIED: [&str; 2] = ["the token rejected this PIN", "--try-rejected-pin"];

#[test]
fn runs_of_commands_make_one_attempt_together() {
    let directory = tempfile::tempdir().unwrap();
    let mut setup = Setup::new(directory.path());
    let controls = wrong_pins(&mut setup);
    let state = state_directory(&directory.path().join("config.toml"));
    let state = format!("--state-directory={}", state.display());
    let first = run(&setup, &["check-config", "--hsm", &state]);
    first.expect(1, &["the token rejected the PIN"]);
    let create = ["key", "create", "--hsm", "hsm-b", "--label", "new", &state];
    let rotate = [
        "key", "rotate", "--store", "root", "--key", "orders", &state,
    ];
    let commands: [(&[&str], i32); 4] = [
        (&["check-config", "--hsm", &state], 1),
        (&["key", "list", &state], 1),
        (&create, 3),
        (&rotate, 3),
    ];
    for (command, code) in commands {
        run(&setup, command).expect(code, &NOT_TRIED);
        assert_eq!(attempts(&controls), 1, "{command:?}");
    }
    let forced = ["key", "list", "--try-rejected-pin", &state];
    run(&setup, &forced).expect(1, &["the token rejected the PIN"]);
    assert_eq!(attempts(&controls), 2);
    // A changed file counts as a different PIN.
    fs::write(directory.path().join("wrong-pin"), PIN).unwrap();
    let ran = run(&setup, &["check-config", "--hsm", &state]);
    let is_open = ran.stdout.contains("hsm-a: ok: ") && ran.stdout.contains("hsm-b: ok: ");
    assert!(is_open, "{ran}");
    setup.token.accepts_its_pin();
}

#[test]
fn a_command_does_not_try_a_pin_that_was_rejected_for_the_service() {
    let mut controls = None;
    let proxy = Proxy::launch(|setup| controls = Some(wrong_pins(setup)));
    let controls = controls.unwrap();
    proxy.daemon.wait_for("that the PIN is rejected", |line| {
        let error = line["error"].as_str().unwrap_or_default();
        error.contains("rejected the PIN")
    });
    let state = state_directory(&proxy.setup.directory.join("config.toml"));
    let state = format!("--state-directory={}", state.display());
    for command in [["check-config", "--hsm", &state], ["key", "list", &state]] {
        run(&proxy.setup, &command).expect(1, &NOT_TRIED);
    }
    assert_eq!(attempts(&controls), 1);
    // A missing directory is an error, because commands must respect the record.
    let gone = "--state-directory=/nonexistent/state";
    let rejected = run(&proxy.setup, &["key", "list", gone]);
    rejected.expect(
        1,
        &["the record of logins in /nonexistent/state cannot be used"],
    );
    assert_eq!(attempts(&controls), 1);
}

/// Lets the next workers of both HSMs die before they log in.
fn kill_workers(proxy: &mut Proxy, controls: &[Control; 2], crash: usize) {
    const FUNCTIONS: [Function; 4] = [
        Function::Initialize,
        Function::GetSlotList,
        Function::GetTokenInfo,
        Function::OpenSession,
    ];
    let function = FUNCTIONS[crash % FUNCTIONS.len()];
    for control in controls {
        control.commit_next(function, Misdeed::Abort);
    }
    // Changes a setting of the front, so that workers are started at once and the PIN and its settings stay unchanged.
    let timeout = format!("\"{}ms\"", 2_001 + crash);
    proxy.setup.set("hsm", "hang_timeout", &timeout);
    let text = proxy.setup.toml();
    let text = text.replace(
        "name = \"hsm-b\"",
        &format!("name = \"hsm-b\"\nhang_timeout = {timeout}"),
    );
    proxy.setup.replace_by(&text);
    signal(proxy.daemon.id(), Signal::HUP);
    eventually("the deaths of both workers", || {
        let is_pending = |control: &Control| control.is_to_commit(function);
        (!controls.iter().any(is_pending)).then_some(())
    });
}

/// The first worker dies inside `C_Login`. Then workers die in other functions, and the service is killed and restarted.
fn crashes_and_restarts(crashes: usize, restarts: usize) {
    let mut controls = None;
    let mut proxy = Proxy::launch(|setup| {
        let both = wrong_pins(setup);
        both[0].commit_next(Function::Login, Misdeed::Abort);
        // The other HSM is the same token. Its login must not be rejected first.
        both[1].hang(Function::OpenSession, true);
        controls = Some(both);
    });
    let controls = controls.unwrap();
    eventually("the death inside the login", || {
        (!controls[0].is_to_commit(Function::Login)).then_some(())
    });
    controls[1].hang(Function::OpenSession, false);
    eventually("the rejection of the PIN", || {
        let wrong: u64 = controls.iter().map(Control::wrong_pins).sum();
        (wrong == 1).then_some(())
    });
    for restart in 0..restarts {
        for crash in 0..crashes {
            kill_workers(&mut proxy, &controls, crash);
        }
        assert!(attempts(&controls) <= 2, "after restart {restart}");
        proxy.daemon.signal(Signal::KILL);
        proxy.daemon.wait();
        let file = proxy.setup.directory.join("config.toml");
        proxy.daemon = Daemon::start(&file, &proxy.setup.variables);
        proxy.daemon.wait_for("that no login is tried", |line| {
            let error = line["error"].as_str().unwrap_or_default();
            error.contains("no login is tried")
        });
    }
    eprintln!(
        "{} attempts in {restarts} × {crashes} deaths of two workers",
        attempts(&controls)
    );
    assert!((1..=2).contains(&attempts(&controls)));
    proxy.setup.token.accepts_its_pin();
}

#[test]
fn crashes_and_restarts_do_not_add_up_to_more_attempts() {
    crashes_and_restarts(4, 2);
}

/// Reads a number from an environment variable.
fn number(name: &str, default: usize) -> usize {
    let text = env::var(name).ok();
    text.map_or(default, |text| text.parse().unwrap())
}

#[test]
#[ignore = "a thousand crashes of two workers take many minutes"]
fn fifty_crashes_in_each_of_twenty_starts_do_not_add_up() {
    crashes_and_restarts(number("XKS_CRASHES", 50), number("XKS_RESTARTS", 20));
}
