//! Kills, second writers, foreign files and clocks of the audit trail. With `on_failure = "refuse"`, no
//! response is sent without a line, and the chain continues.

use std::collections::HashSet;
use std::fs;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::UNIX_EPOCH;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::load::Stop;
use crate::harness::metrics::eventually;
use crate::harness::trail::Trail;
use crate::harness::wall_clock::WallClock;
use crate::harness::wire::encrypt_body;
use crate::harness::{Caller, PAYMENTS, Proxy};

fn audited(lines: &str) -> (Proxy, Trail) {
    let mut trail = None;
    let proxy = Proxy::start_with(|setup| trail = Some(setup.audit(lines)));
    (proxy, trail.unwrap())
}

/// Sends requests until `stop` is set. Adds the ids of successful requests to `answered`.
fn send_requests(payments: &Caller<'_>, stop: &AtomicBool, answered: &Mutex<HashSet<String>>) {
    while !stop.load(Ordering::Relaxed) {
        let Ok(mut connection) = payments.proxy.try_connect() else {
            continue;
        };
        while !stop.load(Ordering::Relaxed) {
            let body = encrypt_body(b"x");
            let request = payments.request("encrypt", "orders", body.to_string());
            if connection.send(&request.bytes()).is_err() {
                break;
            }
            let Ok(Some(response)) = connection.try_response() else {
                break;
            };
            assert_eq!(response.status, 200, "{response:?}");
            let id = body["requestMetadata"]["kmsRequestId"].as_str().unwrap();
            answered.lock().unwrap().insert(id.to_owned());
        }
    }
}

/// Kills the proxy `times` times under load. Every answered request must be in the audit trail, and the audit trail must be intact.
fn kills(times: usize) {
    let (mut proxy, trail) = audited("rotate = { size = \"64KiB\" }\ncheckpoint = { lines = 100 }");
    let answered = Mutex::new(HashSet::new());
    for round in 0..times {
        let before = answered.lock().unwrap().len();
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let all_stop = Stop(&stop);
            for _ in 0..4 {
                scope.spawn(|| send_requests(&proxy.caller(&PAYMENTS), &stop, &answered));
            }
            // Some kills are immediate, others happen under load.
            eventually("answers", || {
                (answered.lock().unwrap().len() > before + round % 7 * 10).then_some(())
            });
            proxy.daemon.signal(Signal::KILL);
            drop(all_stop);
        });
        proxy.kill_and_start_again();
    }
    proxy.daemon.signal(Signal::TERM);
    assert!(proxy.daemon.wait().success());
    trail.assert_chain();
    let recorded: HashSet<String> = trail
        .of_kind("request")
        .iter()
        .map(|line| {
            line["request_metadata"]["kmsRequestId"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    let answered = answered.into_inner().unwrap();
    let missing: Vec<_> = answered.difference(&recorded).collect();
    assert!(
        missing.is_empty(),
        "{} of {}: {missing:?}",
        missing.len(),
        answered.len()
    );
    assert_eq!(trail.of_kind("start").len(), times + 1);
    eprintln!(
        "{times} kills: {} answers, {} lines, {} files",
        answered.len(),
        trail.lines().len(),
        trail.files().len()
    );
}

#[test]
fn requests_that_were_answered_before_a_kill_are_in_the_audit_trail() {
    kills(20);
}

#[test]
#[ignore = "runs for a minute"]
fn requests_that_were_answered_before_a_hundred_kills_are_in_the_audit_trail() {
    kills(100);
}

#[test]
fn an_incomplete_line_is_moved_to_another_file_and_recorded() {
    let (mut proxy, trail) = audited("");
    proxy.caller(&PAYMENTS).encrypt("orders", b"x");
    proxy.daemon.signal(Signal::KILL);
    proxy.daemon.wait();
    let whole = fs::read_to_string(trail.path()).unwrap();
    let last = whole.lines().last().unwrap();
    let torn = &last[..last.len() / 2];
    fs::write(trail.path(), format!("{whole}{torn}")).unwrap();
    start_again(&mut proxy);
    let recovered = trail.of_kind("recovered").pop().unwrap();
    assert_eq!(
        (&recovered["cause"], &recovered["bytes"]),
        (&json!("torn_line"), &json!(torn.len()))
    );
    let aside = trail
        .path()
        .with_file_name(recovered["file"].as_str().unwrap());
    assert_eq!(fs::read_to_string(aside).unwrap(), torn);
    trail.assert_chain();
}

/// Restarts the proxy that has ended.
fn start_again(proxy: &mut Proxy) {
    let file = proxy.setup.write();
    proxy.daemon = crate::harness::daemon::Daemon::start(&file, &proxy.setup.variables);
    proxy.server = proxy.daemon.address("server");
    proxy.admin = proxy.daemon.address("admin");
    proxy.await_ready();
}

/// Runs a second proxy with the configuration of a test. Returns its exit code and its standard error.
fn second(proxy: &Proxy) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_xks-proxy"))
        .args(["serve", "--config"])
        .arg(proxy.setup.directory.join("config.toml"))
        .envs(proxy.setup.variables.iter().cloned())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[test]
fn two_proxies_never_write_the_same_audit_trail() {
    let (proxy, trail) = audited("");
    proxy.caller(&PAYMENTS).encrypt("orders", b"x");
    let (code, stderr) = second(&proxy);
    assert_eq!(code, Some(78), "{stderr}");
    assert!(stderr.contains("another process holds"), "{stderr}");
    proxy.caller(&PAYMENTS).encrypt("orders", b"x");
    assert_eq!(trail.of_kind("start").len(), 1);
    trail.assert_chain();
}

#[test]
fn a_file_that_is_not_an_audit_trail_is_not_changed() {
    for foreign in ["127.0.0.1 localhost\n", "{\"v\":1}\n", "#!/bin/sh"] {
        let (mut proxy, trail) = audited("");
        proxy.daemon.signal(Signal::TERM);
        proxy.daemon.wait();
        fs::write(trail.path(), foreign).unwrap();
        let (code, stderr) = second(&proxy);
        assert_eq!(code, Some(78), "{stderr}");
        assert!(
            stderr.contains("is not an audit trail of this proxy"),
            "{stderr}"
        );
        assert_eq!(fs::read_to_string(trail.path()).unwrap(), foreign);
    }
}

#[test]
fn the_chain_crosses_files_by_size_and_by_logrotate() {
    let (proxy, trail) = audited("rotate = { size = \"8KiB\" }");
    let payments = proxy.caller(&PAYMENTS);
    eventually("several files", || {
        payments.encrypt("orders", b"x");
        (trail.files().len() >= 4).then_some(())
    });
    trail.assert_chain();
    // As logrotate does: rename the file, then send SIGHUP.
    let aside = trail
        .path()
        .with_file_name("audit.jsonl.99999999999999999999");
    fs::rename(trail.path(), aside).unwrap();
    payments.encrypt("orders", b"still written to the file that was open");
    proxy.daemon.signal(Signal::HUP);
    eventually("a new file", || trail.path().exists().then_some(()));
    let body = encrypt_body(b"x");
    payments.call("encrypt", "orders", &body).ok();
    let text = fs::read_to_string(trail.path()).unwrap();
    assert!(text.contains(body["requestMetadata"]["kmsRequestId"].as_str().unwrap()));
    trail.assert_chain();
}

#[test]
fn a_deleted_audit_trail_continues_in_a_new_file() {
    let (proxy, trail) = audited("");
    let payments = proxy.caller(&PAYMENTS);
    payments.encrypt("orders", b"x");
    let last = trail.lines().pop().unwrap();
    fs::remove_file(trail.path()).unwrap();
    let body = encrypt_body(b"x");
    payments.call("encrypt", "orders", &body).ok();
    let line = trail.request(&body);
    assert!(
        line["seq"].as_u64() > last["seq"].as_u64(),
        "the gap is visible: {line}"
    );
}

/// Returns the minutes from now to noon of this day (UTC). Negative in the afternoon.
fn minutes_to_noon() -> i64 {
    let now = UNIX_EPOCH.elapsed().unwrap().as_secs();
    12 * 60 - i64::try_from(now % 86_400 / 60).unwrap()
}

#[test]
fn a_clock_that_goes_back_changes_neither_numbers_nor_files() {
    let mut parts = None;
    // The audit trail starts a new file at midnight, so the test must not cross it.
    let to_noon = minutes_to_noon();
    let proxy = Proxy::start_with(|setup| {
        let clock = WallClock::of(setup);
        clock.set(to_noon);
        parts = Some((clock, setup.audit("")));
    });
    let (clock, trail) = parts.unwrap();
    for minutes in [0, -3 * 24 * 60, 24 * 60].map(|minutes| to_noon + minutes) {
        clock.set(minutes);
        let mut kms = proxy.caller(&PAYMENTS);
        kms.signer = kms.signer.shifted(minutes);
        kms.encrypt("orders", b"x");
    }
    let times: Vec<Value> = trail
        .of_kind("request")
        .iter()
        .map(|line| line["time"].clone())
        .collect();
    assert!(
        times[1].as_str() < times[0].as_str(),
        "the actual time is recorded: {times:?}"
    );
    trail.assert_chain();
    assert_eq!(trail.files().len(), 2, "only a later day starts a file");
}

#[test]
fn concurrent_requests_are_recorded_without_loss() {
    let (proxy, trail) = audited("queue = 2");
    let (stop, answered) = (AtomicBool::new(false), Mutex::new(HashSet::new()));
    thread::scope(|scope| {
        let all_stop = Stop(&stop);
        for _ in 0..16 {
            scope.spawn(|| send_requests(&proxy.caller(&PAYMENTS), &stop, &answered));
        }
        eventually("answers", || {
            (answered.lock().unwrap().len() > 300).then_some(())
        });
        drop(all_stop);
    });
    assert!(trail.of_kind("request").len() >= answered.into_inner().unwrap().len());
    trail.assert_chain();
}
