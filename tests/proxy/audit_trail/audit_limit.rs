//! `audit show --limit`: the entries that are shown on a terminal, in a pipe and with `--follow`, and the memory for them.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write as _};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::command::Ran;
use crate::harness::terminal::{run_on_terminal, terminal};

const PROGRAM: &str = env!("CARGO_BIN_EXE_xks-proxy");

/// Returns a line of an audit trail with wrong hashes: only `audit verify` checks them.
fn entry(seq: u64, key: &str) -> String {
    let hash = "0".repeat(64);
    format!(
        "{{\"v\":1,\"seq\":{seq},\"time\":\"2026-11-24T15:42:06.000000Z\",\"prev\":\"{hash}\",\"kind\":\"request\",\
         \"key_id\":\"{key}\",\"hash\":\"{hash}\"}}\n"
    )
}

/// Returns entries about two keys: `orders` has the even numbers, `ledger` the odd ones.
fn entries(numbers: RangeInclusive<u64>) -> String {
    let key = |seq: u64| ["orders", "ledger"][usize::from(!seq.is_multiple_of(2))];
    numbers.map(|seq| entry(seq, key(seq))).collect()
}

/// Creates an audit trail of 140 entries in two files, the newer one first.
fn trail() -> (TempDir, [String; 2]) {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, numbers| {
        let path = directory.path().join(name);
        fs::write(&path, entries(numbers)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let files = [file("audit.jsonl", 71..=140), file("audit.jsonl.1", 1..=70)];
    (directory, files)
}

fn arguments<'a>(options: &[&'a str], files: &'a [String]) -> Vec<&'a str> {
    let files = files.iter().map(String::as_str);
    ["audit", "show"]
        .into_iter()
        .chain(options.iter().copied())
        .chain(files)
        .collect()
}

fn show(options: &[&str], files: &[String]) -> Ran {
    let output = Command::new(PROGRAM)
        .args(arguments(options, files))
        .output();
    output.unwrap().into()
}

/// Returns the numbers of the entries in the output of `--json`.
fn numbers(printed: &str) -> Vec<u64> {
    let lines = printed.lines();
    lines.map(number).collect()
}

fn number(line: &str) -> u64 {
    let entry: Value = serde_json::from_str(line).unwrap();
    entry["seq"].as_u64().unwrap()
}

#[test]
fn the_last_matching_entries_are_shown() {
    let (_directory, files) = trail();
    let shown = |options: &[&str]| {
        let ran = show(&[&["--json"], options].concat(), &files).expect(0, &[]);
        // A script that limits its output expects no note.
        assert_eq!(ran.stderr, "", "{options:?}");
        numbers(&ran.stdout)
    };
    assert_eq!(shown(&["--limit", "3"]), [138, 139, 140]);
    assert_eq!(shown(&["-n", "2", "--key", "ledger"]), [137, 139]);
    // The entries come from both files.
    assert_eq!(shown(&["--limit", "71"]), (70..=140).collect::<Vec<_>>());
    for options in [&[][..], &["--limit", "all"], &["--limit", "1000"]] {
        assert_eq!(shown(options), (1..=140).collect::<Vec<_>>(), "{options:?}");
    }
    let columns = show(&["--limit", "2"], &files).expect(0, &["TIME (UTC)"]);
    assert_eq!(columns.stdout.lines().count(), 3, "{columns}");
    for wrong in ["0", "-1", "many"] {
        let limit = format!("--limit={wrong}");
        show(&[&limit], &files).expect(2, &["a number from 1, or \"all\""]);
    }
}

#[test]
fn a_terminal_shows_fifty_entries_and_how_many_more_there_are() {
    let (_directory, files) = trail();
    let on_terminal = |options: &[&str], note: Option<&str>| {
        let ran = run_on_terminal(&arguments(options, &files)).expect(0, &[note.unwrap_or("")]);
        assert_eq!(ran.stderr.is_empty(), note.is_none(), "{ran}");
        ran.stdout
    };
    let note = Some("90 older entries not shown; use --limit N or --limit all");
    let columns = on_terminal(&[], note);
    assert_eq!(columns.lines().count(), 51, "{columns}");
    let json = on_terminal(&["--json"], note);
    assert_eq!(numbers(&json), (91..=140).collect::<Vec<_>>());
    let note = Some("20 older entries not shown");
    let filtered = on_terminal(&["--json", "--key", "orders"], note);
    assert_eq!(numbers(&filtered).first(), Some(&42));
    let chosen = on_terminal(
        &["--json", "--limit", "139"],
        Some(" 1 older entry not shown"),
    );
    assert_eq!(numbers(&chosen).first(), Some(&2));
    for limit in ["140", "all"] {
        let all = on_terminal(&["--json", "--limit", limit], None);
        assert_eq!(numbers(&all).len(), 140, "--limit {limit}");
    }
}

/// A command that runs until the test ends.
struct Following(Child);

impl Following {
    fn start(options: &[&str], path: &Path, stdout: Stdio) -> Self {
        let mut command = Command::new(PROGRAM);
        let options = [&["audit", "show", "--follow", "--json"], options].concat();
        command.args(options).arg(path).stdout(stdout);
        Self(command.spawn().unwrap())
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        // It may already have ended.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Reads entries, and fails at the first one whose number is not the expected one.
#[track_caller]
fn expect(output: &mut impl BufRead, numbers: RangeInclusive<u64>) {
    for expected in numbers {
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert_eq!(number(&line), expected);
    }
}

#[test]
fn follow_shows_the_last_entries_and_then_every_new_one() {
    let (directory, files) = trail();
    let path = PathBuf::from(&files[0]);
    let mut following = Following::start(&["--limit", "2"], &path, Stdio::piped());
    let mut output = BufReader::new(following.0.stdout.take().unwrap());
    expect(&mut output, 139..=140);
    let mut file = OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(entries(141..=145).as_bytes()).unwrap();
    fs::rename(&path, directory.path().join("audit.jsonl.2")).unwrap();
    fs::write(&path, entries(146..=150)).unwrap();
    expect(&mut output, 141..=150);
    // With --follow, a terminal has no limit by default.
    let (output, terminal) = terminal();
    let _following = Following::start(&[], Path::new(&files[1]), terminal);
    let mut output = BufReader::new(output);
    expect(&mut output, 1..=70);
}

#[test]
fn memory_is_bounded_by_the_limit_and_not_by_the_files() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    let key = "x".repeat(100_000);
    let text: String = (1..=20).map(|seq| entry(seq, &key)).collect();
    fs::write(&path, text).unwrap();
    let file = path.to_str().unwrap().to_owned();
    // 100 MB in all, and 64 MiB of memory.
    let files = vec![file; 50];
    let output = Command::new("prlimit")
        .args(["--data=67108864", PROGRAM])
        .args(arguments(&["--json", "--limit", "5"], &files))
        .output();
    // The same lines are in the input fifty times.
    let ran = Ran::from(output.unwrap()).expect(3, &["was there before"]);
    assert_eq!(numbers(&ran.stdout), [16, 17, 18, 19, 20]);
}
