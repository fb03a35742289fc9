//! Panics in the real program. A clock that fails in one thread causes them, see `tests/faulty_clock`.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::harness::h2::Http2;
use crate::harness::metrics::eventually;
use crate::harness::setup::Setup;
use crate::harness::wire::encrypt_body;
use crate::harness::{PAYMENTS, Proxy};

/// The numbers of Linux clocks.
const REALTIME: u8 = 0;
const MONOTONIC: u8 = 1;

/// A proxy whose clock fails on command.
pub struct Fragile {
    pub proxy: Proxy,
    order: PathBuf,
}

impl Fragile {
    #[track_caller]
    pub fn start(change: impl FnOnce(&mut Setup)) -> Self {
        let mut order = None;
        let proxy = Proxy::start_with(|setup| {
            order = Some(fragile(setup));
            change(setup);
        });
        let order = order.unwrap();
        Self { proxy, order }
    }

    /// Makes the next read of this clock in this thread panic.
    pub fn fail(&self, thread: &str, clock: u8) {
        fail(&self.order, thread, clock);
    }
}

/// Preloads the faulty clock. Returns the file that makes it fail.
pub fn fragile(setup: &mut Setup) -> PathBuf {
    let order = setup.directory.join("clock-fails");
    setup.preload("libfaulty_clock.so");
    setup
        .variables
        .push(("XKS_TEST_CLOCK".into(), order.display().to_string()));
    order
}

fn fail(order: &PathBuf, thread: &str, clock: u8) {
    // The kernel truncates thread names to 15 bytes.
    let name = &thread[..thread.len().min(15)];
    let new = order.with_extension("new");
    fs::write(&new, format!("{name} {clock}")).unwrap();
    fs::rename(new, order).unwrap();
}

/// Causes a panic in a request.
pub fn panic_in_a_request(proxy: &Proxy, order: &PathBuf) {
    let payments = proxy.caller(&PAYMENTS);
    // An open HTTP/2 connection: there, the request's own code is the first that reads the time of day.
    let connection = Http2::open(proxy);
    let request = || payments.request("encrypt", "orders", encrypt_body(b"x").to_string());
    connection.exchange(&request()).unwrap().ok();
    fail(order, "xks-worker", REALTIME);
    let response = connection.exchange(&request()).unwrap();
    response.assert_error(500, "InternalException");
    // The sandbox prevents that the proxy removes the file, and the next process would panic, too.
    drop(fs::remove_file(order));
    // The connection still works.
    connection.exchange(&request()).unwrap().ok();
}

fn is_panic(line: &Value) -> bool {
    let message = line["message"].as_str().unwrap_or_default();
    message.starts_with("panic;")
}

#[test]
fn a_panic_in_a_request_is_answered_counted_and_located() {
    let fragile = Fragile::start(|_| {});
    let proxy = &fragile.proxy;
    let panics = |scope| proxy.metric("xks_panics_total", &[("where", scope)]);
    assert_eq!(panics("request"), Some(0.0));
    panic_in_a_request(proxy, &fragile.order);
    let line = proxy.daemon.wait_for("the panic", is_panic);
    assert_eq!(
        (&line["level"], &line["where"]),
        (&"ERROR".into(), &"request".into())
    );
    let location = line["location"].as_str().unwrap();
    assert!(location.contains(".rs:"), "{location}");
    let frames = line["frames"].as_str().unwrap();
    assert!(frames.contains("xks_proxy::server::"), "{line}");
    assert_eq!(panics("request"), Some(1.0));
    assert_eq!(panics("connection"), Some(0.0));
    proxy.caller(&PAYMENTS).encrypt("orders", b"x");
    let stray = proxy.daemon.log();
    let stray = stray.iter().find(|line| line.contains("panicked at"));
    assert!(
        stray.is_none(),
        "no message of Rust's default hook: {stray:?}"
    );
}

#[test]
fn a_panic_in_a_connection_closes_only_that_connection() {
    let fragile = Fragile::start(|_| {});
    let proxy = &fragile.proxy;
    let payments = proxy.caller(&PAYMENTS);
    let request = || payments.request("encrypt", "orders", encrypt_body(b"x").to_string());
    let (mut one, mut other) = (proxy.connect(), proxy.connect());
    one.exchange(&request()).ok();
    other.exchange(&request()).ok();
    // Over HTTP/1.1, hyper is the first that reads the time of day, for the field Date.
    fragile.fail("xks-worker", REALTIME);
    one.send(&request().bytes()).unwrap();
    one.assert_closes();
    let line = proxy.daemon.wait_for("the panic", is_panic);
    assert_eq!(line["where"], "connection");
    let panics = |scope| proxy.metric("xks_panics_total", &[("where", scope)]);
    assert_eq!(
        (panics("request"), panics("connection")),
        (Some(0.0), Some(1.0))
    );
    other.exchange(&request()).ok();
    proxy.await_metric("xks_connections", &[("listener", "server")], |n| n == 1.0);
}

/// Asserts that the proxy ends with exit code 70 after a panic in this thread, and logs the location.
fn assert_ends(thread: &str, clock: u8, change: impl FnOnce(&mut Setup)) {
    let mut fragile = Fragile::start(change);
    fragile.proxy.caller(&PAYMENTS).encrypt("orders", b"x");
    fragile.fail(thread, clock);
    let daemon = &mut fragile.proxy.daemon;
    assert_eq!(daemon.wait().code(), Some(70), "{thread}");
    let line = daemon.wait_for("the panic", is_panic);
    assert_eq!(line["thread"], thread);
    let end = daemon.wait_for("the end", |line| line["exit_code"] == 70);
    assert_eq!(end["level"], "ERROR");
    for line in daemon.log() {
        let is_json = serde_json::from_str::<Value>(&line).is_ok();
        assert!(is_json, "in the middle of the log: {line}");
    }
}

/// The health monitor runs in the main thread of a worker.
#[test]
fn a_panic_in_a_worker_ends_it_and_a_new_worker_takes_over() {
    let fragile = Fragile::start(|setup| {
        setup.set("health", "interval", "\"100ms\"");
        // The faulty clock removes its file, in a directory that the sandbox protects.
        setup.set("hsm", "danger_no_sandbox", "true");
        for (name, value) in setup.variables.clone() {
            if ["LD_PRELOAD", "XKS_TEST_CLOCK"].contains(&name.as_str()) {
                setup.module_variable(&name, &value);
            }
        }
    });
    let proxy = &fragile.proxy;
    fragile.fail("xks-proxy-hsm", MONOTONIC);
    let line = proxy.daemon.wait_for("the panic", is_panic);
    assert_eq!(line["hsm"], "hsm-a");
    let failed = proxy.daemon.wait_for("the end of the worker", |line| {
        line["message"] == "the HSM failed; reopening it"
    });
    let reason = failed["reason"].as_str().unwrap();
    assert!(reason.contains("exited with code 70"), "{reason}");
    let payments = proxy.caller(&PAYMENTS);
    eventually("service by another worker", || {
        let response = payments.call("encrypt", "orders", &encrypt_body(b"x"));
        (response.status == 200).then_some(())
    });
}

#[test]
fn a_panic_in_the_watcher_of_the_configuration_ends_the_process() {
    assert_ends("xks-config", MONOTONIC, |_| {});
}

#[test]
fn a_panic_of_a_command_has_the_same_exit_code() {
    let directory = tempfile::tempdir().unwrap();
    let mut setup = Setup::new(directory.path());
    let order = fragile(&mut setup);
    let file = setup.write();
    fail(&order, "xks-proxy", REALTIME);
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_xks-proxy"))
        .args(["check-config", "--config"])
        .arg(file)
        .envs(setup.variables.clone())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(70), "{stderr}");
    assert!(
        stderr.contains("xks-proxy: internal error: panic at "),
        "{stderr}"
    );
    eventually("the file is removed", || (!order.exists()).then_some(()));
}
