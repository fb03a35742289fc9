//! The audit trail on a disk that is full or hangs. With `on_failure = "refuse"`, no response is sent without a line. With `"continue"`, no
//! response waits.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::harness::metrics::eventually;
use crate::harness::trail::Trail;
use crate::harness::wire::{encrypt_body, plain_body};
use crate::harness::{PAYMENTS, Proxy};

/// Starts a proxy whose audit trail is on a separate disk of 128 KiB. Returns the path of a file that can fill the disk.
fn on_a_small_disk(on_failure: &str) -> (Proxy, Trail, PathBuf) {
    let mut trail = None;
    let proxy = Proxy::start_with(|setup| {
        let lines = format!("on_failure = {on_failure:?}");
        trail = Some(setup.audit_on_a_disk(128, &lines));
    });
    let root = PathBuf::from(format!("/proc/{}/root", proxy.daemon.front()));
    let trail = trail.unwrap().below(&root);
    let filler = trail.path().with_file_name("filler");
    (proxy, trail, filler)
}

/// Fills the disk completely.
fn fill(filler: &Path) {
    fs::write(filler, vec![0; 1 << 20]).expect_err("a full disk");
}

#[test]
fn every_request_is_rejected_while_the_disk_is_full() {
    let (proxy, trail, filler) = on_a_small_disk("refuse");
    let payments = proxy.caller(&PAYMENTS);
    payments.encrypt("orders", b"x");
    fill(&filler);
    // The rest of the last page has space for a few lines.
    eventually("a rejection", || {
        let response = payments.call("encrypt", "orders", &encrypt_body(b"x"));
        (response.status == 500).then(|| response.assert_error(500, "InternalException"))
    });
    for (operation, body) in [
        ("health", plain_body("health")),
        ("encrypt", encrypt_body(b"x")),
    ] {
        let response = payments.call(operation, "orders", &body);
        response.assert_error(500, "InternalException");
        let line = proxy.access_line(&body);
        assert!(
            line["reason"].as_str().unwrap().contains("audit trail"),
            "{line}"
        );
    }
    proxy.await_unready();
    assert_eq!(proxy.metric("xks_audit_healthy", &[]), Some(0.0));
    fs::remove_file(&filler).unwrap();
    eventually("readiness without a request", || {
        (proxy.admin("/readyz").status == 200).then_some(())
    });
    let body = encrypt_body(b"x");
    payments.call("encrypt", "orders", &body).ok();
    trail.request(&body);
    let recovered = trail.of_kind("recovered").pop().unwrap();
    assert_eq!(recovered["cause"], "unrecorded");
    assert!(
        recovered["unrecorded"].as_u64().unwrap() >= 3,
        "{recovered}"
    );
    trail.assert_chain();
}

#[test]
fn with_continue_lost_entries_are_counted() {
    let (proxy, trail, filler) = on_a_small_disk("continue");
    let payments = proxy.caller(&PAYMENTS);
    fill(&filler);
    eventually("a counted loss", || {
        payments.encrypt("orders", b"x");
        proxy
            .metric("xks_audit_lost_total", &[])
            .filter(|lost| *lost > 0.0)
    });
    assert_eq!(proxy.admin("/readyz").status, 200);
    fs::remove_file(&filler).unwrap();
    let line = trail.wait_for("the number of lost entries", |line| {
        line["cause"] == "unrecorded"
    });
    assert!(line["unrecorded"].as_u64().unwrap() > 0);
    trail.assert_chain();
}

fn id_of(body: &Value) -> Value {
    body["requestMetadata"]["kmsRequestId"].clone()
}

/// Starts a proxy whose disk hangs while the returned file exists.
fn on_a_hanging_disk(on_failure: &str) -> (Proxy, Trail, PathBuf) {
    let (mut trail, mut switch) = (None, PathBuf::new());
    let proxy = Proxy::start_with(|setup| {
        trail = Some(setup.audit(&format!("on_failure = \"{on_failure}\"")));
        switch = setup.slow_disk();
        // A response waits for its line until the request times out.
        setup.set("server.limits", "request_timeout", "\"2s\"");
    });
    (proxy, trail.unwrap(), switch)
}

#[test]
fn every_request_is_rejected_while_the_disk_hangs() {
    let (proxy, trail, switch) = on_a_hanging_disk("refuse");
    let payments = proxy.caller(&PAYMENTS);
    payments.encrypt("orders", b"x");
    fs::write(&switch, "").unwrap();
    let rejected = encrypt_body(b"x");
    let response = payments.call("encrypt", "orders", &rejected);
    response.assert_error(500, "InternalException");
    let reason = proxy.access_line(&rejected)["reason"].to_string();
    assert!(reason.contains("not written in time"), "{reason}");
    proxy.await_unready();
    fs::remove_file(&switch).unwrap();
    eventually("readiness without a request", || {
        (proxy.admin("/readyz").status == 200).then_some(())
    });
    let body = encrypt_body(b"x");
    payments.call("encrypt", "orders", &body).ok();
    trail.request(&body);
    trail.assert_chain();
}

#[test]
fn with_continue_no_request_waits_for_a_disk_that_hangs() {
    let (proxy, trail, switch) = on_a_hanging_disk("continue");
    let payments = proxy.caller(&PAYMENTS);
    fs::write(&switch, "").unwrap();
    let bodies: Vec<Value> = (0..20).map(|_| encrypt_body(b"x")).collect();
    for body in &bodies {
        payments.call("encrypt", "orders", body).ok();
    }
    fs::remove_file(&switch).unwrap();
    let last = id_of(bodies.last().unwrap());
    trail.wait_for("the last line", |line| {
        line["request_metadata"]["kmsRequestId"] == last
    });
    for body in &bodies {
        trail.request(body);
    }
    trail.assert_chain();
}
