//! Where the log goes: a reader that stalls costs lines and no request; the end of the log; systemd's journal.

use std::net::TcpListener;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::daemon::{Daemon, STDOUT};
use crate::harness::setup::Setup;
use crate::harness::wire::encrypt_body;
use crate::harness::{PAYMENTS, Proxy};

const LOST: &str = "xks_log_lost_lines_total";

/// A request whose line is as long as a request can make it.
fn long_body() -> Value {
    let mut body = encrypt_body(b"x");
    body["requestMetadata"]["futureField"] = json!("long".repeat(12 * 1024));
    body
}

/// Makes such requests, each of which must be answered.
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
fn a_reader_that_stalls_costs_lines_and_no_request() {
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
fn a_reader_that_stalls_does_not_keep_the_proxy_from_ending() {
    let mut proxy = Proxy::start();
    proxy.daemon.stop_reading();
    // More than a pipe holds.
    answered(&proxy, 10);
    proxy.daemon.signal(Signal::TERM);
    assert_eq!(proxy.daemon.wait().code(), Some(0));
}

#[test]
fn what_was_logged_is_written_before_the_end() {
    let mut proxy = Proxy::start();
    // Some megabytes wait when the end begins.
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
fn a_start_that_fails_says_why_in_the_log() {
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

/// The lines of a proxy in whose environment the journal's stream is this.
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
fn the_journal_learns_the_level_of_each_line() {
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
fn another_reader_gets_no_priorities() {
    // The journal's stream may be inherited by somebody whose output goes elsewhere.
    for stream in ["1:1", "", "garbage"] {
        let lines = under_journal("json", stream);
        assert!(lines.iter().all(|line| line.starts_with('{')), "{lines:?}");
    }
}
