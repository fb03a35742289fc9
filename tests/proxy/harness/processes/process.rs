//! Processes, read from /proc.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::metrics::eventually;

/// Returns the parent and the state of a process, unless it has gone.
fn status(process: u32) -> Option<(u32, char)> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    let state = fields.next()?.chars().next()?;
    Some((fields.next()?.parse().ok()?, state))
}

/// Returns whether a process runs. A killed process may stay a zombie if its parent never waits for it.
pub fn runs(process: u32) -> bool {
    status(process).is_some_and(|(_, state)| !matches!(state, 'Z' | 'X'))
}

/// Waits until a process has ended.
#[track_caller]
pub fn await_end(process: u32) {
    let description = format!("the end of process {process}");
    eventually(&description, || (!runs(process)).then_some(()));
}

/// Returns the running children of a process.
pub fn children(parent: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let processes = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_child = |process: &u32| status(*process).is_some_and(|(of, _)| of == parent);
    processes
        .filter(is_child)
        .filter(|child| runs(*child))
        .collect()
}

/// Returns the number of threads of a process. The thread that reads files under a time limit does not count: it starts with the first
/// check for a changed configuration, at any time of a test.
pub fn threads(process: u32) -> usize {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.trim_end() != "xks-files").count()
}

/// Returns the command line of a process.
pub fn arguments(process: u32) -> Vec<String> {
    let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    let words = line.split(|byte| *byte == 0);
    words
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .filter(|word| !word.is_empty())
        .collect()
}

/// Returns the child that runs this subcommand of the proxy.
pub fn child_named(parent: u32, subcommand: &str) -> Option<u32> {
    let mut children = children(parent).into_iter();
    children.find(|child| {
        arguments(*child)
            .get(1)
            .is_some_and(|word| word == subcommand)
    })
}

/// Sends a signal.
#[track_caller]
pub fn signal(process: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(process).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// Returns the targets of a process's descriptors, by number.
pub fn descriptors(process: u32) -> Vec<(u32, String)> {
    let entries = fs::read_dir(format!("/proc/{process}/fd"))
        .unwrap()
        .flatten();
    let mut found: Vec<_> = entries
        .filter_map(|entry| {
            let number = entry.file_name().to_str()?.parse().ok()?;
            let target = fs::read_link(entry.path()).ok()?;
            Some((number, target.display().to_string()))
        })
        .collect();
    found.sort();
    found
}
