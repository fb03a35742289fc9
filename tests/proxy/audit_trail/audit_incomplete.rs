//! `audit show` and `audit verify` of an incomplete audit trail: missing, repeated and unreadable lines are reported and never a success.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::command::{Ran, run};
use crate::harness::metrics::eventually;
use crate::harness::trail::Trail;
use crate::harness::{PAYMENTS, Proxy};

/// Returns the audit trail of a stopped proxy, in several files.
fn written(lines: &str) -> (Proxy, Trail) {
    let mut trail = None;
    let mut proxy = Proxy::start_with(|setup| trail = Some(setup.audit(lines)));
    for _ in 0..40 {
        proxy.caller(&PAYMENTS).encrypt("orders", b"x");
    }
    proxy.daemon.signal(Signal::TERM);
    assert!(proxy.daemon.wait().success());
    (proxy, trail.unwrap())
}

const SMALL_FILES: &str = "rotate = { size = \"4KiB\" }";

fn on(arguments: &[&str], files: &[&Path]) -> Ran {
    let mut run = Command::new(env!("CARGO_BIN_EXE_xks-proxy"));
    run.arg("audit").args(arguments).args(files);
    run.output().unwrap().into()
}

fn gzip(file: &Path) -> Vec<u8> {
    let output = Command::new("gzip").arg("--stdout").arg(file).output();
    output.unwrap().stdout
}

fn show(proxy: &Proxy, options: &[&str]) -> Ran {
    run(
        &proxy.setup,
        &[&["audit", "show", "--json"], options].concat(),
    )
}

#[test]
fn gaps_and_repeated_lines_are_reported() {
    let (proxy, trail) = written(SMALL_FILES);
    let files = trail.files();
    assert!(files.len() > 3, "{files:?}");
    let file = &files[1];
    let whole = fs::read(file).unwrap();
    let all = show(&proxy, &[]).expect(0, &[]).stdout;
    let missing = "lines are missing between those that are shown, first lines ";

    fs::write(file, "").unwrap();
    show(&proxy, &[]).expect(3, &["NOT READ", "it is empty", missing]);
    run(&proxy.setup, &["audit", "verify"]).expect(1, &["were removed", "NOT READ"]);
    let last = [files[0].as_path(), file];
    on(&["show"], &last).expect(3, &["NOT READ", "it is empty"]);
    on(&["verify"], &last).expect(3, &["NOT READ", "the chain holds"]);
    fs::remove_file(file).unwrap();
    show(&proxy, &[]).expect(3, &[missing]);
    fs::create_dir(file).unwrap();
    show(&proxy, &[]).expect(3, &["not a regular file", missing]);
    fs::remove_dir(file).unwrap();

    // The content of the file matters, not its name.
    fs::write(file, &whole).unwrap();
    let compressed = gzip(file);
    fs::write(file, compressed).unwrap();
    assert_eq!(show(&proxy, &[]).expect(0, &[]).stdout, all);
    let ran = run(&proxy.setup, &["audit", "verify"]).expect(0, &["the chain holds"]);
    assert!(!ran.stdout.contains("NOT READ"), "{ran}");

    let copy = PathBuf::from(format!("{}.bak", file.display()));
    fs::write(&copy, &whole).unwrap();
    show(&proxy, &[]).expect(3, &["lines have a number that was there before"]);
    fs::remove_file(copy).unwrap();

    fs::write(trail.path(), "").unwrap();
    let end = "were written according to the position file";
    show(&proxy, &[]).expect(3, &[end]);
    run(&proxy.setup, &["audit", "verify"]).expect(3, &["INCOMPLETE", end]);
}

#[test]
fn filters_that_cannot_match_are_wrong_usage() {
    let (proxy, _trail) = written(SMALL_FILES);
    let turned = ["--since", "2026-11-25", "--until", "2026-11-24"];
    show(&proxy, &turned).expect(2, &["--until", "not later than --since"]);
    show(&proxy, &["--since", "1h", "--until", "1h"]).expect(0, &[]);
    show(&proxy, &["--store", "paymentz"]).expect(2, &["did you mean \"payments\"?"]);
    show(&proxy, &["--key", "oders"]).expect(2, &["did you mean \"orders\"?"]);
    let none = ["--store", "retail", "--outcome", "failed"];
    show(&proxy, &none).expect(0, &[]);
}

#[test]
fn a_file_without_a_line_is_not_a_success() {
    let (_proxy, trail) = written("");
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let no_line = ["no audit log line in"];
    fs::write(path("empty"), "").unwrap();
    fs::write(path("empty.gz"), gzip(&path("empty"))).unwrap();
    let level = ruzstd::encoding::CompressionLevel::Fastest;
    let nothing = ruzstd::encoding::compress_to_vec([].as_slice(), level);
    fs::write(path("empty.zst"), nothing).unwrap();
    let text = fs::read_to_string(trail.path()).unwrap();
    fs::write(path("joined"), text.replace('\n', "")).unwrap();
    for file in [path("empty.gz"), path("empty.zst"), "/dev/null".into()] {
        on(&["show"], &[&file]).expect(1, &no_line);
    }
    on(&["show"], &[&path("empty")]).expect(1, &no_line);
    on(&["show"], &[&path("joined")]).expect(1, &["1 lines are not of an audit trail"]);
    let both = [trail.path(), &path("joined")];
    on(&["show"], &both).expect(1, &["not of an audit trail"]);
    on(&["verify"], &both).expect(1, &["FAULT"]);
}

#[test]
fn a_start_without_the_last_lines_records_that() {
    let mut trail = None;
    let mut proxy =
        Proxy::start_with(|setup| trail = Some(setup.audit("checkpoint = { lines = 1 }")));
    let trail = trail.unwrap();
    proxy.caller(&PAYMENTS).encrypt("orders", b"x");
    proxy.daemon.signal(Signal::TERM);
    assert!(proxy.daemon.wait().success());
    let last = trail.lines().pop().unwrap()["seq"].as_u64().unwrap();
    fs::write(trail.path(), "").unwrap();
    proxy.start_again();
    let line = trail.wait_for("the event", |line| line["kind"] == "recovered");
    let found = (&line["cause"], &line["first"], &line["last"], &line["seq"]);
    let expected = (&json!("missing"), &json!(1), &json!(last), &json!(last + 1));
    assert_eq!(found, expected, "{line}");
    proxy.daemon.wait_for("an error", |line| {
        let message = line["message"].as_str().unwrap_or_default();
        line["level"] == "ERROR"
            && message.starts_with("acknowledged lines are missing from the files")
    });
    let lost = format!("did not find lines 1 to {last}");
    run(&proxy.setup, &["audit", "verify"]).expect(3, &["INCOMPLETE", &lost]);
    eventually("a seal", || {
        let ran = run(&proxy.setup, &["audit", "verify", "--hsm"]);
        let vouches = format!("vouch for every line from {} up to", last + 1);
        (ran.stdout.contains(&vouches) && ran.code == Some(3)).then_some(())
    });

    // Only the lock file remains.
    proxy.daemon.signal(Signal::KILL);
    proxy.daemon.wait();
    fs::remove_file(trail.path()).unwrap();
    fs::remove_file(trail.path().with_file_name("audit.jsonl.position")).unwrap();
    proxy.start_again();
    let line = trail.wait_for("the event", |line| line["kind"] == "recovered");
    assert_eq!(line["cause"], "unknown_position", "{line}");
    assert!(line["error"].as_str().unwrap().contains("lock file"));
    trail.assert_chain();
}

#[test]
fn overdue_seals_are_reported() {
    let (mut proxy, trail) =
        written("checkpoint = { lines = 50000, interval = \"1h\", seal_timeout = \"5s\" }");
    let verified = |proxy: &Proxy| {
        let ran = run(&proxy.setup, &["audit", "verify", "--hsm", "--json"]);
        let report = ran.json();
        (ran.code, report["incomplete"].to_string())
    };
    assert_eq!(verified(&proxy), (Some(0), "[]".to_owned()));
    // The next proxy ends before it requests a seal.
    proxy.start_again();
    proxy.caller(&PAYMENTS).encrypt("orders", b"x");
    proxy.daemon.signal(Signal::KILL);
    proxy.daemon.wait();
    assert_eq!(verified(&proxy), (Some(0), "[]".to_owned()));
    let since: Value = trail.lines().pop().unwrap();
    proxy
        .setup
        .edit("interval = \"1h\"", "interval = \"100ms\"");
    proxy.setup.edit("\"5s\"", "\"10ms\"");
    let overdue = eventually("an overdue seal", || {
        let (code, incomplete) = verified(&proxy);
        (code == Some(3)).then_some(incomplete)
    });
    assert!(
        overdue.contains("behind the last seal had none"),
        "{overdue} {since}"
    );
}
