//! The kill switch: whoever owns a key store or a key switches it off, and within a second nobody gets anything from it any more.

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

/// Whether all that the store is asked for is refused as the specification wants it.
fn is_switched_off(caller: &Caller<'_>, sealed: &serde_json::Value) {
    for (operation, body) in [
        ("encrypt", encrypt_body(b"x")),
        ("decrypt", decrypt_body(sealed)),
    ] {
        let response = caller.call(operation, "orders", &body);
        response.assert_error(400, "InvalidStateException");
    }
    let metadata = caller.call("metadata", "orders", &plain_body("metadata"));
    assert_eq!(metadata.ok()["keyStatus"], "DISABLED");
}

#[test]
fn a_store_is_switched_off_and_on_and_the_others_do_not_notice() {
    let mut proxy = Proxy::start();
    let sealed = proxy.caller(&PAYMENTS).encrypt("orders", b"kept");
    proxy.reconfigure(|setup| setup.edit(STORE, &disabled_store()));
    let payments = proxy.caller(&PAYMENTS);
    is_switched_off(&payments, &sealed);
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
        .call("decrypt", "orders", &decrypt_body(&sealed))
        .ok();
    assert_eq!(enabled(&proxy), Some(1.0));
}

#[test]
fn a_key_is_switched_off_and_the_others_of_its_store_are_not() {
    let mut proxy = Proxy::start();
    let sealed = proxy.caller(&PAYMENTS).encrypt("orders", b"kept");
    let key = "id = \"orders\"\n";
    proxy.reconfigure(|setup| setup.edit(key, &format!("{key}state = \"disabled\"\n")));
    let payments = proxy.caller(&PAYMENTS);
    is_switched_off(&payments, &sealed);
    payments.encrypt("ledger", b"x");
    payments.health();
    let switched = [("store", "payments"), ("to", "disabled")];
    assert_eq!(proxy.metric("xks_switches_total", &switched), Some(1.0));
    assert!(proxy.has_changed("key_store.payments.key.orders", "disabled"));
}

/// Sends requests on one connection until the response is InvalidState.
fn await_refusal(payments: &Caller<'_>, switch: impl FnOnce()) {
    let mut connection = payments.proxy.connect();
    switch();
    let began = Instant::now();
    loop {
        let request = payments.request("encrypt", "orders", encrypt_body(b"x").to_string());
        match connection.exchange(&request).status {
            400 => return,
            status => assert_eq!(status, 200),
        }
        assert!(began.elapsed() < PATIENCE, "never refused");
    }
}

#[test]
fn the_switch_works_on_connections_that_are_there_by_file_and_by_signal() {
    let mut proxy = Proxy::start();
    let (on, off) = {
        proxy.setup.edit(STORE, &disabled_store());
        let off = proxy.setup.toml();
        proxy.setup.edit(&disabled_store(), STORE);
        (proxy.setup.toml(), off)
    };
    let payments = proxy.caller(&PAYMENTS);
    // tests/bench/live measures how long it takes: less than a second on a quiet machine.
    await_refusal(&payments, || proxy.setup.replace_by(&off));
    proxy.reconfigure_by(&on);
    await_refusal(&payments, || {
        proxy.setup.replace_by(&off);
        proxy.daemon.signal(Signal::HUP);
    });
}

#[test]
fn what_the_hsm_is_doing_is_done_and_answered() {
    let (mut proxy, device) = faulty_with(|setup| {
        // No health check hangs beside the request, and the configuration changes before its deadline.
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
    crate::harness::metrics::eventually("the HSM at work", || {
        (device.calls(Function::Encrypt) > calls).then_some(())
    });
    proxy.reconfigure(|setup| setup.edit(STORE, &disabled_store()));
    device.heal();
    connection.response().expect("an answer").ok();
    proxy
        .caller(&PAYMENTS)
        .call("encrypt", "orders", &encrypt_body(b"x"))
        .assert_error(400, "InvalidStateException");
}

#[test]
fn half_a_switch_is_no_switch() {
    let mut proxy = Proxy::start();
    proxy
        .setup
        .edit(STORE, &disabled_store().replace("disabled", "disable"));
    proxy.setup.replace();
    proxy.await_reload("refused", 0.0);
    proxy.caller(&PAYMENTS).encrypt("orders", b"x");
}
