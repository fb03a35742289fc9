//! Disabling a key store or a key: within a second, all requests for it are rejected.

use std::time::Instant;

use rustix::process::Signal;

use crate::harness::control::Function;
use crate::harness::outage::faulty_with;
use crate::harness::wire::{decrypt_body, encrypt_body, plain_body};
use crate::harness::{Caller, PATIENCE, PAYMENTS, Proxy, RETAIL};

const STORE: &str =
    "name = \"payments\"\npath_prefix = \"/payments\"\nregion = \"eu-west-1\"\nstate = \"enabled\"";

fn disabled_store() -> String {
    STORE.replace("enabled", "disabled")
}

/// Asserts that requests for the store are rejected as the specification requires.
fn assert_disabled(caller: &Caller<'_>, encrypted: &serde_json::Value) {
    for (operation, body) in [
        ("encrypt", encrypt_body(b"x")),
        ("decrypt", decrypt_body(encrypted)),
    ] {
        let response = caller.call(operation, "orders", &body);
        response.assert_error(400, "InvalidStateException");
    }
    let metadata = caller.call("metadata", "orders", &plain_body("metadata"));
    assert_eq!(metadata.ok()["keyStatus"], "DISABLED");
}

#[test]
fn a_store_is_disabled_and_enabled_without_an_effect_on_others() {
    let mut proxy = Proxy::start();
    let encrypted = proxy.caller(&PAYMENTS).encrypt("orders", b"kept");
    proxy.reconfigure(|setup| setup.edit(STORE, &disabled_store()));
    let payments = proxy.caller(&PAYMENTS);
    assert_disabled(&payments, &encrypted);
    payments
        .call("health", "", &plain_body("health"))
        .assert_error(400, "InvalidStateException");
    proxy.caller(&RETAIL).encrypt("stock", b"x");
    let switched = [("store", "payments"), ("to", "disabled")];
    assert_eq!(proxy.metric("xks_switches_total", &switched), Some(1.0));
    let enabled = |proxy: &Proxy| proxy.metric("xks_key_store_enabled", &[("store", "payments")]);
    assert_eq!(enabled(&proxy), Some(0.0));
    proxy.daemon.wait_for("the switch", |line| {
        line["message"] == "enabled or disabled by the configuration"
            && line["place"] == "key_store.payments"
    });
    proxy.reconfigure(|setup| setup.edit(&disabled_store(), STORE));
    let payments = proxy.caller(&PAYMENTS);
    payments
        .call("decrypt", "orders", &decrypt_body(&encrypted))
        .ok();
    assert_eq!(enabled(&proxy), Some(1.0));
}

#[test]
fn a_key_is_disabled_without_an_effect_on_others() {
    let mut proxy = Proxy::start();
    let encrypted = proxy.caller(&PAYMENTS).encrypt("orders", b"kept");
    let key = "id = \"orders\"\n";
    let disabled =
        |proxy: &Proxy| proxy.metric("xks_key_store_keys_disabled", &[("store", "payments")]);
    let before = disabled(&proxy).unwrap();
    proxy.reconfigure(|setup| setup.edit(key, &format!("{key}state = \"disabled\"\n")));
    let payments = proxy.caller(&PAYMENTS);
    assert_disabled(&payments, &encrypted);
    payments.encrypt("ledger", b"x");
    payments.health();
    let switched = [("store", "payments"), ("to", "disabled")];
    assert_eq!(proxy.metric("xks_switches_total", &switched), Some(1.0));
    assert_eq!(disabled(&proxy), Some(before + 1.0));
    assert!(proxy.has_changed("key_store.payments.key.orders", "disabled"));
}

/// Changes the configuration, then sends requests on one connection until the response is InvalidStateException.
fn await_rejection(payments: &Caller<'_>, switch: impl FnOnce()) {
    let mut connection = payments.proxy.connect();
    switch();
    let began = Instant::now();
    loop {
        let request = payments.request("encrypt", "orders", encrypt_body(b"x").to_string());
        match connection.exchange(&request).status {
            400 => return,
            status => assert_eq!(status, 200),
        }
        assert!(began.elapsed() < PATIENCE, "never rejected");
    }
}

#[test]
fn the_change_affects_open_connections_by_file_and_by_signal() {
    let mut proxy = Proxy::start();
    let (on, off) = {
        proxy.setup.edit(STORE, &disabled_store());
        let off = proxy.setup.toml();
        proxy.setup.edit(&disabled_store(), STORE);
        (proxy.setup.toml(), off)
    };
    let payments = proxy.caller(&PAYMENTS);
    // tests/bench/live measures the time: less than a second on an idle machine.
    await_rejection(&payments, || proxy.setup.replace_by(&off));
    proxy.reconfigure_by(&on);
    await_rejection(&payments, || {
        proxy.setup.replace_by(&off);
        proxy.daemon.signal(Signal::HUP);
    });
}

#[test]
fn a_request_in_progress_is_completed() {
    let (mut proxy, device) = faulty_with(|setup| {
        // No health check hangs at the same time, and the configuration changes before the deadline of the request.
        setup.set("health", "interval", "\"45s\"");
        setup.set("server.limits", "request_timeout", "\"60s\"");
    });
    device.hang(Function::Encrypt, true);
    let request = {
        let body = encrypt_body(b"x").to_string();
        proxy.caller(&PAYMENTS).request("encrypt", "orders", body)
    };
    let mut connection = proxy.connect();
    let calls = device.calls(Function::Encrypt);
    connection.send(&request.bytes()).unwrap();
    crate::harness::metrics::eventually("a call of the HSM", || {
        (device.calls(Function::Encrypt) > calls).then_some(())
    });
    proxy.reconfigure(|setup| setup.edit(STORE, &disabled_store()));
    device.clear_faults();
    connection.response().expect("an answer").ok();
    proxy
        .caller(&PAYMENTS)
        .call("encrypt", "orders", &encrypt_body(b"x"))
        .assert_error(400, "InvalidStateException");
}

#[test]
fn a_misspelt_state_changes_nothing() {
    let mut proxy = Proxy::start();
    proxy
        .setup
        .edit(STORE, &disabled_store().replace("disabled", "disable"));
    proxy.setup.replace();
    proxy.await_reload("refused", 0.0);
    proxy.caller(&PAYMENTS).encrypt("orders", b"x");
}
