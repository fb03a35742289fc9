//! Keys that are on one HSM but not on the other one. This is visible before the HSM with the key fails, without a log line per request.

use serde_json::Value;

use crate::harness::metrics::eventually;
use crate::harness::token::{OTHER_TOKEN, TOKEN_LABEL};
use crate::harness::wire::encrypt_body;
use crate::harness::{PAYMENTS, Proxy};

/// A proxy with two tokens. The second one is empty.
fn on_two_tokens() -> Proxy {
    Proxy::start_with(|setup| {
        setup.second_token();
        setup.set("health", "interval", "\"1s\"");
    })
}

/// Waits until this number of keys of the store `payments` is missing on the HSM.
#[track_caller]
fn await_missing(proxy: &Proxy, hsm: &str, keys: f64) {
    let labels = [("store", "payments"), ("hsm", hsm)];
    proxy.await_metric("xks_key_store_keys_missing", &labels, |n| n == keys);
}

#[test]
fn the_gauge_follows_the_keys_of_each_hsm() {
    let proxy = on_two_tokens();
    // One key is on no HSM, and one has two objects.
    await_missing(&proxy, "hsm-a", 2.0);
    await_missing(&proxy, "hsm-b", 11.0);
    let token = &proxy.setup.token;
    token.tool_on(OTHER_TOKEN, "key", &["--label", "orders"]);
    await_missing(&proxy, "hsm-b", 10.0);
    token.tool_on(TOKEN_LABEL, "delete-key", &["--label", "orders"]);
    await_missing(&proxy, "hsm-a", 3.0);
}

#[test]
fn requests_for_a_missing_key_are_served_with_one_warning() {
    let proxy = on_two_tokens();
    let token = &proxy.setup.token;
    token.tool_on(OTHER_TOKEN, "key", &["--label", "orders"]);
    token.tool_on(TOKEN_LABEL, "delete-key", &["--label", "orders"]);
    let payments = proxy.caller(&PAYMENTS);
    for _ in 0..60 {
        payments.call("encrypt", "orders", &encrypt_body(b"x")).ok();
    }
    // The proxy does not choose the HSM without the key first again, although that one responds faster.
    let labels = [("why", "key_absent"), ("hsm", "hsm-a")];
    let tries = proxy.metric("xks_hsm_second_tries_total", &labels);
    assert!(tries.is_some_and(|tries| tries <= 5.0), "{tries:?}");
    let warnings = || {
        let log = proxy.daemon.log();
        let lines = log
            .iter()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines
            .filter(|line| line["message"] == "key missing on this HSM; trying another HSM")
            .collect::<Vec<_>>()
    };
    let first = eventually("a warning", || warnings().into_iter().next());
    assert_eq!(
        (&first["hsm"], &first["level"]),
        (&"hsm-a".into(), &"WARN".into())
    );
    assert!(
        first["error"].as_str().unwrap().contains("orders"),
        "{first}"
    );
    // One line per minute: on a very slow machine, the requests may take more than one minute.
    assert!(warnings().len() <= 2, "{:?}", warnings());
}
