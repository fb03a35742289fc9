//! A key that is deleted, created again, or made unusable under load. Each response is correct for the current state, without a restart.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::harness::metrics::eventually;
use crate::harness::wire::encrypt_body;
use crate::harness::{PAYMENTS, Proxy};

/// Encrypts on one connection until `stop` is set. Records each change of the status.
fn load(proxy: &Proxy, stop: &AtomicBool, seen: &Mutex<Vec<u16>>) {
    let payments = proxy.caller(&PAYMENTS);
    let mut connection = proxy.connect();
    while !stop.load(Ordering::Relaxed) {
        let request = payments.request("encrypt", "ledger", encrypt_body(b"x").to_string());
        let status = connection.exchange(&request).status;
        let mut seen = seen.lock().unwrap();
        if !seen.contains(&status) {
            seen.push(status);
        }
    }
}

#[test]
fn responses_follow_a_key_that_is_deleted_created_again_and_made_unusable() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    let token = &proxy.setup.token;
    let status = || {
        payments
            .call("encrypt", "ledger", &encrypt_body(b"x"))
            .status
    };
    let (stop, seen) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| load(&proxy, &stop, &seen));
        }
        let label = ["--label", "ledger-key"];
        for (step, options, expected) in [
            ("delete-key", &label[..], 404),
            ("key", &label, 200),
            ("delete-key", &label, 404),
            ("key", &["--label", "ledger-key", "--no-encrypt"], 400),
            ("delete-key", &label, 404),
            ("key", &label, 200),
        ] {
            token.tool(step, options);
            eventually(&format!("{expected} after {step}"), || {
                (status() == expected).then_some(())
            });
        }
        stop.store(true, Ordering::Relaxed);
    });
    let mut seen = seen.into_inner().unwrap();
    seen.sort_unstable();
    assert_eq!(seen, [200, 400, 404], "each status is correct at its time");
    let fault = payments.call("encrypt", "nothing-configured", &encrypt_body(b"x"));
    fault.assert_error(404, "KeyNotFoundException");
}
