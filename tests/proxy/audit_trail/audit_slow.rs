//! An audit trail on a slow disk: the time for its lines is visible, and an outage in which every client disconnects first is also reported
//! by the proxy.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use crate::harness::metrics::eventually;
use crate::harness::setup::Setup;
use crate::harness::trail::Trail;
use crate::harness::wire::{encrypt_body, plain_body};
use crate::harness::{PAYMENTS, Proxy};

/// Starts a proxy with an audit trail on a disk whose `fdatasync` takes the number of milliseconds in the returned file.
fn on_a_slow_disk(change: impl FnOnce(&mut Setup)) -> (Proxy, Trail, PathBuf) {
    let (mut trail, mut switch) = (None, PathBuf::new());
    let proxy = Proxy::start_with(|setup| {
        trail = Some(setup.audit(""));
        switch = setup.slow_disk();
        change(setup);
    });
    (proxy, trail.unwrap(), switch)
}

#[test]
fn the_time_of_the_audit_trail_is_a_separate_stage() {
    let (proxy, _trail, switch) = on_a_slow_disk(|_| {});
    fs::write(&switch, "120").unwrap();
    let body = encrypt_body(b"x");
    proxy
        .caller(&PAYMENTS)
        .call("encrypt", "orders", &body)
        .ok();
    let line = proxy.access_line(&body);
    let audited = line["audit_us"].as_u64().unwrap();
    assert!(
        (120_000..=line["duration_us"].as_u64().unwrap()).contains(&audited),
        "{line}"
    );
    let stage = |stage| {
        let labels = [("operation", "encrypt"), ("stage", stage)];
        proxy
            .metric("xks_request_stage_duration_seconds_sum", &labels)
            .unwrap()
    };
    assert!(stage("audit") >= 0.12);
    let whole = proxy
        .metric("xks_request_duration_seconds_sum", &[])
        .unwrap();
    assert!(stage("rest") <= whole - stage("audit"), "counted twice");
}

#[test]
fn an_outage_in_which_every_client_disconnects_first_is_visible() {
    const CLIENTS: usize = 96;
    let (proxy, trail, switch) = on_a_slow_disk(|setup| {
        setup.set("server.limits", "request_timeout", "\"230ms\"");
    });
    let payments = proxy.caller(&PAYMENTS);
    fs::write(&switch, "600").unwrap();
    for round in 1..=CLIENTS / 8 {
        let connections: Vec<_> = (0..8)
            .map(|_| {
                let request = payments.request("health", "", plain_body("health").to_string());
                let mut connection = proxy.connect();
                connection.send(&request.bytes()).unwrap();
                connection
            })
            .collect();
        let verified = (8 * round) as f64;
        proxy.await_metric("xks_credential_requests_total", &[], |n| n == verified);
        // Some clients disconnect before the response, others receive an error.
        let patience = Duration::from_millis([1, 250][round % 2]);
        for mut connection in connections {
            connection.set_patience(patience);
            if let Ok(Some(response)) = connection.try_response() {
                response.assert_error(500, "InternalException");
            }
        }
    }
    proxy.await_metric("xks_objective_requests_total", &[("met", "false")], |n| {
        n == CLIENTS as f64
    });
    assert_eq!(
        proxy.metric("xks_objective_requests_total", &[("met", "true")]),
        None
    );
    proxy.await_unready();
    assert_eq!(proxy.metric("xks_audit_healthy", &[]), Some(0.0));
    fs::remove_file(&switch).unwrap();
    eventually("readiness without a request", || {
        (proxy.admin("/readyz").status == 200).then_some(())
    });
    proxy.await_metric("xks_audit_healthy", &[], |healthy| healthy == 1.0);
    payments.encrypt("orders", b"served");
    eventually("one line for each request", || {
        (trail.of_kind("request").len() == CLIENTS + 1).then_some(())
    });
    trail.assert_chain();
}

impl Setup {
    /// Makes the disk of the proxy slow, or lets it hang. Returns the file that controls it. See `tests/hanging_disk`.
    pub fn slow_disk(&mut self) -> PathBuf {
        let switch = self.directory.join("the-disk-hangs");
        self.preload("libhanging_disk.so");
        let file = switch.display().to_string();
        self.variables.push(("XKS_TEST_HANG".into(), file));
        switch
    }
}
