//! The output of the library to standard output and standard error.

use super::load::under_load;
use super::only_worker;
use crate::harness::PAYMENTS;
use crate::harness::control::{Function, Misdeed};
use crate::harness::outage::faulty_with;

/// The library writes a megabyte to each stream: lines that are too long, invalid UTF-8, and a line that looks like a log line of the proxy.
#[test]
fn the_output_of_the_library_becomes_bounded_structured_lines() {
    let (proxy, device) = faulty_with(|_| {});
    let worker = only_worker(&proxy, "hsm-a");
    let payments = proxy.caller(&PAYMENTS);
    for _ in 0..3 {
        device.commit_next(Function::Encrypt, Misdeed::Chatter);
        payments.encrypt("orders", b"x");
    }
    let output = |line: &serde_json::Value| line["message"] == "output of the PKCS#11 library";
    proxy.daemon.wait_for("a line of the library", |line| {
        output(line) && line["text"] == "a line of the library" && line["hsm"] == "hsm-a"
    });
    // A later line follows all output of the library.
    let tally = under_load(&proxy, 2, |tally| {
        crate::harness::metrics::eventually("requests", || (tally.done() > 100).then_some(()));
    });
    tally.assert_none_failed();
    let log = proxy.daemon.log();
    assert!(
        log.iter()
            .all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok())
    );
    let parsed = log
        .iter()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let lines: Vec<_> = parsed.filter(|line| output(line)).collect();
    assert!(lines.len() <= 61, "{} lines", lines.len());
    let length = |line: &serde_json::Value| line["text"].as_str().unwrap().len();
    // Each invalid byte becomes a character of three bytes.
    assert!(lines.iter().map(length).max().unwrap() <= 3 * 512);
    let forged = log
        .iter()
        .filter(|line| line.contains("\"message\":\"forged\""));
    assert_eq!(
        forged.count(),
        0,
        "it must be a text within a line, not a line"
    );
    assert!(crate::harness::process::runs(worker));
}

/// The number of lines that were left out is logged, also if the library writes nothing more.
#[test]
fn lines_that_are_left_out_are_counted_in_the_log() {
    let (proxy, device) = faulty_with(|_| {});
    device.commit_next(Function::Encrypt, Misdeed::Chatter);
    proxy.caller(&PAYMENTS).encrypt("orders", b"x");
    // The end of the worker is the end of its output.
    crate::harness::process::signal(only_worker(&proxy, "hsm-a"), rustix::process::Signal::KILL);
    proxy
        .daemon
        .wait_for("the number of omitted lines", |line| {
            line["hsm"] == "hsm-a" && line["left_out"].as_u64().is_some_and(|lines| lines > 100)
        });
}
