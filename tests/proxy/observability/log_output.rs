//! The output of the log: a stalled reader loses lines but no requests, the end of the log, systemd's journal.

use std::net::TcpListener;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::daemon::{Daemon, STDOUT};
use crate::harness::setup::Setup;
use crate::harness::wire::encrypt_body;
use crate::harness::{PAYMENTS, Proxy};

const LOST: &str = "xks_log_lost_lines_total";

/// A request with the longest possible log line.
fn long_body() -> Value {
    let mut body = encrypt_body(b"x");
    body["requestMetadata"]["futureField"] = json!("long".repeat(12 * 1024));
    body
}

/// Makes requests with long lines, each of which must be answered.
fn answered(proxy: &Proxy, count: usize) {
    let payments = proxy.caller(&PAYMENTS);
    let mut connection = proxy.connect();
    for _ in 0..count {
        let request = payments.request("encrypt", "orders", long_body().to_string());
        connection.exchange(&request).ok();
    }
}

fn access_lines(daemon: &Daemon) -> usize {
    let log = daemon.log();
    log.iter()
        .filter(|line| line.contains("futureField"))
        .count()
}

#[test]
fn a_stalled_reader_loses_lines_but_no_requests() {
    let proxy = Proxy::start();
    let lost = || proxy.metric(LOST, &[]).expect("a counter from the start");
    assert_eq!(lost(), 0.0);
    proxy.daemon.stop_reading();
    let mut sent = 0;
    while lost() < 20.0 {
        answered(&proxy, 20);
        sent += 20;
        assert!(sent < 5_000, "the queue has no bound");
    }
    proxy.daemon.read_on();
    let gap = |line: &Value| line["lines"].as_f64().filter(|_| line["level"] == "ERROR");
    let line = proxy.daemon.wait_for("the gap", |line| gap(line).is_some());
    assert_eq!(gap(&line), Some(lost()), "{line}");
    let body = encrypt_body(b"x");
    proxy
        .caller(&PAYMENTS)
        .call("encrypt", "orders", &body)
        .ok();
    proxy.access_line(&body);
    let (seen, lost) = (access_lines(&proxy.daemon), lost());
    assert!(
        seen < sent && seen as f64 + lost >= sent as f64,
        "{seen} of {sent}, {lost} lost"
    );
}

#[test]
fn a_stalled_reader_does_not_prevent_the_end() {
    let mut proxy = Proxy::start();
    proxy.daemon.stop_reading();
    // More than the capacity of a pipe.
    answered(&proxy, 10);
    proxy.daemon.signal(Signal::TERM);
    assert_eq!(proxy.daemon.wait().code(), Some(0));
}

#[test]
fn logged_lines_are_written_before_the_end() {
    let mut proxy = Proxy::start();
    // Some megabytes are queued when the proxy stops.
    proxy.daemon.stop_reading();
    answered(&proxy, 150);
    assert_eq!(proxy.metric(LOST, &[]), Some(0.0));
    proxy.daemon.signal(Signal::TERM);
    proxy.daemon.read_on();
    assert_eq!(proxy.daemon.wait().code(), Some(0));
    proxy
        .daemon
        .wait_for("the end", |line| line["message"] == "stopped");
    assert_eq!(access_lines(&proxy.daemon), 150);
}

#[test]
fn a_failed_start_logs_the_reason() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let mut setup = Setup::new(directory.path());
    let listen = format!("[\"{}\"]", taken.local_addr().unwrap());
    setup.set("server", "listen", &listen);
    let mut daemon = Daemon::start(&setup.write(), &setup.variables);
    assert_eq!(daemon.wait().code(), Some(70));
    let why = |line: &Value| {
        let error = line["error"].as_str().unwrap_or_default();
        line["message"] == "the proxy cannot run" && error.contains("cannot listen")
    };
    daemon.wait_for("why", why);
}

/// Returns the log lines of a proxy with this value of `JOURNAL_STREAM`.
fn under_journal(format: &str, stream: &str) -> Vec<String> {
    let mut proxy = Proxy::start_with(|setup| {
        setup.set("log", "format", &format!("{format:?}"));
        let variable = ("JOURNAL_STREAM".to_owned(), stream.to_owned());
        setup.variables.push(variable);
    });
    let payments = proxy.caller(&PAYMENTS);
    payments.encrypt("orders", b"x");
    let failing = payments.unsigned("encrypt", "orders", "{}");
    assert_eq!(proxy.send(&failing).status, 401);
    proxy.daemon.signal(Signal::TERM);
    proxy.daemon.wait();
    proxy
        .daemon
        .wait_for("the end", |line| line["message"] == "stopped");
    proxy.daemon.log()
}

#[test]
fn lines_for_the_journal_begin_with_their_priority() {
    for format in ["json", "text"] {
        let lines = under_journal(format, STDOUT);
        for line in &lines {
            let priority = match line {
                line if line.contains("ERROR") => "<3>",
                line if line.contains("WARN") => "<4>",
                line if line.contains("INFO") => "<6>",
                _ => panic!("{line} has no level"),
            };
            assert!(line.starts_with(priority), "{line}");
        }
        let warned = |line: &String| line.starts_with("<4>") && line.contains("401");
        assert!(lines.iter().any(warned), "{lines:?}");
    }
}

#[test]
fn lines_for_other_readers_have_no_priority() {
    // A process may inherit the variable while its output goes elsewhere.
    for stream in ["1:1", "", "garbage"] {
        let lines = under_journal("json", stream);
        assert!(lines.iter().all(|line| line.starts_with('{')), "{lines:?}");
    }
}
