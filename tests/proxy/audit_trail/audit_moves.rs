//! The audit trail when its files are moved and its disk fails at the same time. The chain continues, and the proxy stops when it receives a
//! signal.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::daemon::Daemon;
use crate::harness::metrics::eventually;
use crate::harness::outage::faulty_with;
use crate::harness::trail::Trail;
use crate::harness::wire::encrypt_body;
use crate::harness::{PAYMENTS, Proxy};

/// Starts a proxy whose disk hangs while the first returned file exists, and fails while the second one exists.
fn on_a_bad_disk(lines: &str) -> (Proxy, Trail, [PathBuf; 2]) {
    let (mut trail, mut switches) = (None, [PathBuf::new(), PathBuf::new()]);
    let proxy = Proxy::start_with(|setup| {
        trail = Some(setup.audit(lines));
        switches = ["hangs", "fails"].map(|name| setup.directory.join(name));
        setup.preload("libhanging_disk.so");
        for (name, file) in ["XKS_TEST_HANG", "XKS_TEST_FAIL"]
            .into_iter()
            .zip(&switches)
        {
            let file = file.display().to_string();
            setup.variables.push((name.into(), file));
        }
    });
    (proxy, trail.unwrap(), switches)
}

fn beside(trail: &Trail, name: &str) -> PathBuf {
    trail.path().with_file_name(name)
}

fn first_seq(path: &Path) -> u64 {
    let text = fs::read_to_string(path).unwrap();
    let line: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    line["seq"].as_u64().unwrap()
}

fn last_seq(path: &Path) -> u64 {
    let text = fs::read_to_string(path).unwrap();
    let line: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    line["seq"].as_u64().unwrap()
}

/// Renames the audit trail as logrotate does, and makes the proxy start a new file. Returns the number of the last line in the old file.
fn rotate(proxy: &Proxy, trail: &Trail, to: &Path) -> u64 {
    fs::rename(trail.path(), to).unwrap();
    proxy.daemon.signal(Signal::HUP);
    eventually("a new file", || trail.path().exists().then_some(()));
    last_seq(to)
}

fn gzip(path: &Path) {
    let status = Command::new("gzip").arg(path).status().unwrap();
    assert!(status.success());
}

#[test]
fn the_chain_continues_when_the_last_lines_are_compressed_or_missing() {
    let mut trail = None;
    let mut proxy = Proxy::start_with(|setup| trail = Some(setup.audit("")));
    let trail = trail.unwrap();
    for is_deleted in [false, true] {
        proxy.caller(&PAYMENTS).encrypt("orders", b"x");
        let old = beside(&trail, &format!("audit.jsonl.{is_deleted}"));
        rotate(&proxy, &trail, &old);
        proxy
            .caller(&PAYMENTS)
            .encrypt("orders", b"in the new file");
        let last = last_seq(trail.path());
        proxy.daemon.signal(Signal::KILL);
        proxy.daemon.wait();
        let newest = beside(&trail, &format!("newest.{is_deleted}"));
        fs::rename(trail.path(), &newest).unwrap();
        if !is_deleted {
            gzip(&old);
        }
        proxy.start_again();
        assert_eq!(first_seq(trail.path()), last_seq(&newest).max(last) + 1);
    }
}

#[test]
fn a_failed_fdatasync_at_sighup_does_not_stop_the_audit_trail() {
    let (proxy, trail, [_, fails]) = on_a_bad_disk("sync = \"none\"");
    let payments = proxy.caller(&PAYMENTS);
    payments.encrypt("orders", b"x");
    let old = beside(&trail, "audit.jsonl.1");
    fs::write(&fails, "").unwrap();
    fs::rename(trail.path(), &old).unwrap();
    proxy.daemon.signal(Signal::HUP);
    proxy.await_metric("xks_audit_failures_total", &[], |failures| failures >= 1.0);
    payments.encrypt("orders", b"in the old file");
    fs::remove_file(&fails).unwrap();
    proxy.daemon.signal(Signal::HUP);
    eventually("a new file", || trail.path().exists().then_some(()));
    let body = encrypt_body(b"x");
    payments.call("encrypt", "orders", &body).ok();
    trail.request(&body);
    trail.assert_chain();
}

#[test]
fn a_disk_that_hangs_does_not_prevent_a_stop() {
    let (mut proxy, _trail, [hangs, _]) = on_a_bad_disk("");
    proxy.caller(&PAYMENTS).encrypt("orders", b"x");
    fs::write(&hangs, "").unwrap();
    proxy.daemon.signal(Signal::TERM);
    assert!(proxy.daemon.wait().success());
    proxy.daemon.wait_for("an error about the disk", |line| {
        let message = line["message"].as_str().unwrap_or_default();
        message.contains("disk of the audit trail does not respond")
    });
}

#[test]
fn a_first_file_full_of_zeros_is_moved_away() {
    let mut trail = None;
    let mut proxy = Proxy::start_with(|setup| trail = Some(setup.audit("")));
    let trail = trail.unwrap();
    proxy.daemon.signal(Signal::KILL);
    proxy.daemon.wait();
    fs::remove_file(beside(&trail, "audit.jsonl.position")).unwrap();
    fs::write(trail.path(), [0; 4096]).unwrap();
    let file = proxy.setup.write();
    proxy.daemon = Daemon::start(&file, &proxy.setup.variables);
    trail.wait_for("the recovery", |line| line["bytes"] == 4096);
    trail.assert_chain();
}

#[test]
fn an_hsm_that_cannot_seal_does_not_fill_the_audit_trail() {
    let mut trail = None;
    let (proxy, control) = faulty_with(|setup| {
        trail = Some(setup.audit("checkpoint = { lines = 1, seal_timeout = \"100ms\" }"));
    });
    let trail = trail.unwrap();
    control.set_removed(true);
    proxy.caller(&PAYMENTS).health();
    proxy.await_metric(
        "xks_audit_checkpoints_total",
        &[("outcome", "unsealed")],
        |n| n >= 2.0,
    );
    assert_eq!(proxy.metric("xks_audit_sealed", &[]), Some(0.0));
    let lines = trail.lines();
    let unsigned = lines.iter().filter(|line| line["unsealed"].is_string());
    assert_eq!(unsigned.count(), 1, "{lines:?}");
}
