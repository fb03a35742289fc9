//! A proxy whose HSM can be made to fail, and what may be said while it does.

use serde_json::Value;

use crate::harness::control::Control;
use crate::harness::metrics::eventually;
use crate::harness::response::Response;
use crate::harness::setup::Setup;
use crate::harness::wire::encrypt_body;
use crate::harness::{Caller, Proxy};

/// A proxy on a faulty module that is well.
pub fn faulty() -> (Proxy, Control) {
    faulty_with(|_| {})
}

/// The same with a changed configuration.
pub fn faulty_with(change: impl FnOnce(&mut Setup)) -> (Proxy, Control) {
    let mut control = None;
    let proxy = Proxy::start_with(|setup| {
        control = Some(setup.faulty_module());
        // What is not mended by the next request is mended by the next check.
        setup.set("health", "interval", "\"1s\"");
        change(setup);
    });
    await_proofs(&proxy, &["hsm-a"]);
    (proxy, control.unwrap())
}

/// Waits until each of these HSMs has tried its keys for the first time: what a test then counts or makes fail is of its own requests.
#[track_caller]
pub fn await_proofs(proxy: &Proxy, hsms: &[&str]) {
    for hsm in hsms {
        proxy
            .daemon
            .wait_for("the end of the first proofs", |line| {
                line["message"] == "the keys of the configuration were tried" && line["hsm"] == *hsm
            });
    }
}

/// A proxy on two faulty modules that are well and hold the same keys: `hsm-a` and `hsm-b`.
pub fn two_faulty(change: impl FnOnce(&mut Setup)) -> (Proxy, Control, Control) {
    let mut controls = None;
    let proxy = Proxy::start_with(|setup| {
        controls = Some((setup.faulty_module(), setup.second_faulty_module()));
        setup.set("health", "interval", "\"1s\"");
        change(setup);
    });
    for hsm in ["hsm-a", "hsm-b"] {
        proxy.await_metric("xks_hsm_usable", &[("hsm", hsm)], |usable| usable == 1.0);
    }
    await_proofs(&proxy, &["hsm-a", "hsm-b"]);
    let (a, b) = controls.unwrap();
    (proxy, a, b)
}

/// What a caller may be told while the HSM is away: retryable, and nothing about the ciphertext.
#[track_caller]
pub fn assert_blames_the_hsm(response: &Response) {
    let name = response.json()["errorName"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let expected = [
        (500, "InternalException"),
        (503, "DependencyTimeoutException"),
    ];
    assert!(expected.contains(&(response.status, &name)), "{response:?}");
}

/// Waits until encrypt and decrypt both work again.
#[track_caller]
pub fn await_service(payments: &Caller<'_>, decrypt: &Value) {
    eventually("service after the fault", || {
        let encrypt = payments.call("encrypt", "orders", &encrypt_body(b"x"));
        let decrypt = payments.call("decrypt", "orders", decrypt);
        (encrypt.status == 200 && decrypt.status == 200).then_some(())
    });
}
