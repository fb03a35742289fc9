//! A proxy whose HSM can fail, and the responses that are allowed during the failure.

use serde_json::Value;

use crate::harness::control::Control;
use crate::harness::metrics::eventually;
use crate::harness::response::Response;
use crate::harness::setup::Setup;
use crate::harness::wire::encrypt_body;
use crate::harness::{Caller, Proxy};

/// Starts a proxy on a faulty module without a failure.
pub fn faulty() -> (Proxy, Control) {
    faulty_with(|_| {})
}

/// Starts a proxy with a changed configuration.
pub fn faulty_with(change: impl FnOnce(&mut Setup)) -> (Proxy, Control) {
    let mut control = None;
    let proxy = Proxy::start_with(|setup| {
        control = Some(setup.faulty_module());
        // The next health check recovers what the next request does not.
        setup.set("health", "interval", "\"1s\"");
        change(setup);
    });
    await_proofs(&proxy, &["hsm-a"]);
    (proxy, control.unwrap())
}

/// Waits until each of these HSMs has tried its keys for the first time. Later calls and failures are then those of the test's requests.
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

/// Starts a proxy on two faulty modules with the same keys, `hsm-a` and `hsm-b`.
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

/// Fails the test unless a response is allowed while the HSM is unavailable: retryable, and without a statement about the ciphertext.
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
