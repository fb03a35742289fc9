//! Tests with real processes: this test program acts as launcher, front or worker, depending on its arguments.

mod front;
mod process;
mod worker;

use std::env::{self, current_exe};
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio, exit};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, setrlimit};

use super::*;
use process::await_end;

/// The environment variable with the name of the case. Without it, the tests that act as processes do nothing.
const CASE: &str = "XKS_TEST_LAUNCHER";

/// The environment variable with the state directory.
const STATE: &str = "XKS_TEST_STATE";

/// Many times what a step takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn process_arguments(name: &str) -> Vec<OsString> {
    let test = format!("launcher::tests::{name}");
    [&test, "--exact", "--nocapture", "--test-threads=1"]
        .map(Into::into)
        .to_vec()
}

fn case() -> Option<String> {
    env::var(CASE).ok()
}

/// Runs a case. Returns the exit status of the launcher, and the lines of standard output and standard error of launcher and front.
fn run_case(case: &str) -> (ExitStatus, Vec<String>, Vec<String>) {
    run_with_state(case, None)
}

/// Runs a case with a state directory.
fn run_with_state(case: &str, state: Option<&Path>) -> (ExitStatus, Vec<String>, Vec<String>) {
    let output = Command::new(current_exe().unwrap())
        .envs(state.map(|state| (STATE, state)))
        .args(process_arguments("act_as_launcher"))
        .env(CASE, case)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let lines = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        text.lines().map(str::to_owned).collect()
    };
    (output.status, lines(&output.stdout), lines(&output.stderr))
}

#[track_caller]
fn passes(case: &str) -> Vec<String> {
    let (status, output, errors) = run_case(case);
    let all = errors.join("\n");
    assert_eq!(status.code(), Some(0), "{case}: {output:#?}\n{all}");
    output
}

/// Returns the process IDs that a case printed as `process 123`.
fn processes(output: &[String]) -> Vec<u32> {
    let ids = output
        .iter()
        .filter_map(|line| line.rsplit_once("process "));
    ids.map(|(_, id)| id.parse().unwrap()).collect()
}

#[test]
fn act_as_launcher() {
    let Some(case) = case() else { return };
    if case == "few descriptors" {
        let few = Rlimit {
            current: Some(64),
            maximum: Some(64),
        };
        setrlimit(Resource::Nofile, few).unwrap();
    }
    let plan = Plan {
        config: PathBuf::new(),
        state_directory: env::var_os(STATE).map(PathBuf::from),
        commands: Commands {
            front: process_arguments("act_as_front"),
            worker: |_, hsm, settings| {
                // The test harness ignores these two, because no test has such a name; the worker reads them.
                let mut arguments = process_arguments("act_as_worker");
                arguments.push(format!("hsm={}", hsm.as_str()).into());
                arguments.push(format!("settings={settings:?}").into());
                arguments
            },
        },
    };
    exit(run(&plan).unwrap().into());
}

#[test]
fn act_as_front() {
    if let Some(case) = case() {
        front::run(&case);
    }
}

#[test]
fn act_as_worker() {
    if case().is_some() {
        worker::run();
    }
}

#[test]
fn the_process_group_of_a_worker_dies_with_it() {
    passes("fork");
    passes("fork and exit");
}

#[test]
fn all_descriptors_reach_both_sides() {
    passes("descriptors");
}

#[test]
fn settings_of_a_worker_that_served_are_kept() {
    passes("last good");
}

#[test]
fn only_the_worker_that_violates_the_protocol_is_killed() {
    passes("hostile worker");
}

/// Each worker with permission appends a line to the file that stands for the token. Then it crashes, or reports that the PIN is wrong.
#[test]
fn a_wrong_pin_is_tried_twice_over_crashes_of_workers_and_restarts_of_the_service() {
    let directory = tempfile::tempdir().unwrap();
    let attempts = || {
        let text = fs::read_to_string(directory.path().join("attempts"));
        text.unwrap_or_default().lines().count()
    };
    for round in 0..6 {
        let (status, output, errors) = run_with_state("logins", Some(directory.path()));
        assert_eq!(status.code(), Some(0), "{output:?}\n{errors:?}");
        assert_eq!(attempts(), 2, "round {round}");
    }
}

/// The launcher receives the report and the end of the worker at the same time.
#[test]
fn the_report_of_a_worker_that_has_ended_counts() {
    let directory = tempfile::tempdir().unwrap();
    let (status, output, errors) = run_with_state("good logins", Some(directory.path()));
    assert_eq!(status.code(), Some(0), "{output:?}\n{errors:?}");
}

#[test]
fn a_start_without_free_descriptors_fails_and_the_next_one_works() {
    passes("few descriptors");
}

#[test]
fn a_worker_that_the_front_drops_is_killed() {
    passes("dropped");
}

#[test]
fn the_end_of_the_front_ends_its_workers_and_is_the_exit_code() {
    let (status, output, _) = run_case("exit");
    assert_eq!(status.code(), Some(7));
    let processes = processes(&output);
    assert_eq!(processes.len(), 2, "{output:?}");
    processes.into_iter().for_each(await_end);
}

/// The launcher is killed with SIGKILL, which it cannot handle.
#[test]
fn the_end_of_the_launcher_ends_the_front_and_the_workers() {
    let mut launcher = Command::new(current_exe().unwrap())
        .args(process_arguments("act_as_launcher"))
        .env(CASE, "stay")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(launcher.stdout.take().unwrap()).lines();
    let lines = lines.map(Result::unwrap);
    let lines: Vec<_> = lines.take_while(|line| line != "all run").collect();
    let processes = processes(&lines);
    assert_eq!(processes.len(), 4, "{lines:?}");
    launcher.kill().unwrap();
    launcher.wait().unwrap();
    processes.into_iter().for_each(await_end);
}

#[test]
fn a_front_that_violates_the_protocol_ends_the_service() {
    let (status, _, errors) = run_case("hostile front");
    assert_eq!(status.code(), Some(70));
    let is_report = |line: &String| line.contains("sent an invalid frame");
    assert!(errors.iter().any(is_report), "{errors:?}");
}
