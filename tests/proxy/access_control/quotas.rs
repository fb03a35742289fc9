//! Quotas: who has used his up is told so at once, before any HSM is asked, and nobody else notices.

use std::time::Instant;

use crate::harness::control::Function;
use crate::harness::metrics::eventually;
use crate::harness::outage::faulty_with;
use crate::harness::wire::{encrypt_body, plain_body};
use crate::harness::{Caller, PAYMENTS, Proxy, RETAIL};

/// So little that a test cannot wait for more.
const THREE: &str = "quota = { rate = 1, burst = 3 }";

/// The statuses of so many encryptions on one connection.
fn statuses(caller: &Caller<'_>, key: &str, count: usize) -> Vec<u16> {
    let mut connection = caller.proxy.connect();
    let mut once = || {
        let request = caller.request("encrypt", key, encrypt_body(b"x").to_string());
        connection.exchange(&request).status
    };
    (0..count).map(|_| once()).collect()
}

fn count(statuses: &[u16], wanted: u16) -> usize {
    statuses.iter().filter(|status| **status == wanted).count()
}

#[test]
fn over_the_quota_is_throttling_and_costs_no_hsm_anything() {
    let (proxy, device) = faulty_with(|setup| {
        setup.in_store(&PAYMENTS, THREE);
        // No health check encrypts beside the requests.
        setup.set("health", "interval", "\"45s\"");
    });
    let payments = proxy.caller(&PAYMENTS);
    let before = device.calls(Function::EncryptInit);
    let began = Instant::now();
    let seen = statuses(&payments, "orders", 40);
    let more = began.elapsed().as_secs() as usize + 1;
    let served = count(&seen, 200);
    assert!((3..=3 + more).contains(&served), "{seen:?}");
    assert_eq!(count(&seen, 429), 40 - served);
    let called = device.calls(Function::EncryptInit) - before;
    assert_eq!(called, served as u64);
    let refusals = proxy.metric("xks_quota_refusals_total", &[("store", "payments")]);
    assert_eq!(refusals, Some((40 - served) as f64));
    eventually("one more that is too many", || {
        let response = payments.call("encrypt", "orders", &encrypt_body(b"x"));
        (response.status == 429).then(|| response.assert_error(429, "ThrottlingException"))
    });
}

#[test]
fn the_quota_counts_metadata_but_not_health_and_no_other_store() {
    let proxy = Proxy::start_with(|setup| setup.in_store(&PAYMENTS, THREE));
    let payments = proxy.caller(&PAYMENTS);
    let metadata = || {
        payments
            .call("metadata", "orders", &plain_body("metadata"))
            .status
    };
    let seen: Vec<u16> = (0..20).map(|_| metadata()).collect();
    assert!(count(&seen, 429) > 0, "{seen:?}");
    for _ in 0..5 {
        payments.health();
    }
    assert_eq!(
        count(&statuses(&proxy.caller(&RETAIL), "stock", 20), 200),
        20
    );
}

#[test]
fn a_key_that_is_not_there_is_counted_too() {
    // Quota before key: else a caller could ask for keys without end.
    let proxy = Proxy::start_with(|setup| setup.in_store(&PAYMENTS, THREE));
    let payments = proxy.caller(&PAYMENTS);
    let seen = statuses(&payments, "no-such-key", 20);
    assert!(count(&seen, 404) >= 3 && count(&seen, 429) > 0, "{seen:?}");
}

#[test]
fn a_forged_request_takes_nothing_from_the_quota() {
    let proxy = Proxy::start_with(|setup| setup.in_store(&PAYMENTS, THREE));
    let forger = crate::harness::StoreName {
        secret: RETAIL.secret,
        ..PAYMENTS
    };
    let seen = statuses(&proxy.caller(&forger), "orders", 20);
    assert_eq!(count(&seen, 401), 20);
    let seen = statuses(&proxy.caller(&PAYMENTS), "orders", 3);
    assert_eq!(count(&seen, 200), 3);
}

#[test]
fn a_change_of_something_else_gives_no_new_burst_and_a_change_of_the_quota_counts_at_once() {
    let mut proxy = Proxy::start_with(|setup| {
        setup.in_store(&PAYMENTS, "quota = { rate = 1, burst = 20 }");
    });
    let began = Instant::now();
    let served = |proxy: &Proxy| count(&statuses(&proxy.caller(&PAYMENTS), "orders", 60), 200);
    let before = served(&proxy);
    proxy.reconfigure(|setup| setup.in_store(&PAYMENTS, "weight = 2"));
    let all = before + served(&proxy);
    let since = began.elapsed().as_secs() as usize + 1;
    assert!(all <= 20 + since, "{all}: the burst was there again");
    proxy.reconfigure(|setup| setup.edit("rate = 1, burst = 20", "rate = 1000000"));
    let seen = statuses(&proxy.caller(&PAYMENTS), "orders", 40);
    assert_eq!(count(&seen, 200), 40, "{seen:?}");
}
