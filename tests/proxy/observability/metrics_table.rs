//! The table of metrics in `deploy/operate.md` is what `/metrics` serves, and scraping never keeps the proxy from its work.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use crate::harness::control::Function;
use crate::harness::load::Stop;
use crate::harness::outage::two_faulty;
use crate::harness::wire::plain_body;
use crate::harness::{PAYMENTS, Proxy, http};

/// A family: its type and its labels.
#[derive(Debug, PartialEq, Eq)]
struct Family {
    kind: String,
    labels: BTreeSet<String>,
}

/// The rows of the table, and those among them that are always served.
fn documented() -> (BTreeMap<String, Family>, BTreeSet<String>) {
    let readme = include_str!("../../../deploy/operate.md");
    let (mut families, mut always) = (BTreeMap::new(), BTreeSet::new());
    for line in readme.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let name = cells[0].trim_matches([' ', '`']);
        if !(name.starts_with("xks_") || name.starts_with("process_")) {
            continue;
        }
        assert_eq!(cells.len(), 5, "name, type, labels, meaning, when: {line}");
        let labels = cells[2].split(", ").filter(|label| !label.is_empty());
        let family = Family {
            kind: cells[1].into(),
            labels: labels.map(ToOwned::to_owned).collect(),
        };
        let former = families.insert(name.to_owned(), family);
        assert!(former.is_none(), "twice: {name}");
        assert!(!cells[3].is_empty() && !cells[4].is_empty(), "{line}");
        if cells[4] == "always" {
            always.insert(name.to_owned());
        }
    }
    (families, always)
}

/// The families in Prometheus' text format.
fn served(text: &str) -> BTreeMap<String, Family> {
    let mut families = BTreeMap::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            current = name.to_owned();
            let family = Family {
                kind: kind.into(),
                labels: BTreeSet::new(),
            };
            families.insert(current.clone(), family);
        } else if let Some((_, labels)) = line.split_once('{').filter(|_| !line.starts_with('#')) {
            let labels = labels.rsplit_once('}').unwrap().0;
            let names = labels
                .split("\",")
                .filter_map(|label| label.split_once("=\""));
            let names = names
                .map(|(name, _)| name.to_owned())
                .filter(|name| name != "le");
            families.get_mut(&current).unwrap().labels.extend(names);
        }
    }
    families
}

#[test]
fn the_table_and_the_metrics_are_the_same() {
    let (proxy, a, b) = two_faulty(|_| {});
    let payments = proxy.caller(&PAYMENTS);
    payments.encrypt("orders", b"x");
    payments.call("metadata", "absent", &plain_body("metadata"));
    let mut stranger = proxy.caller(&PAYMENTS);
    stranger.signer.secret = "A".repeat(43);
    let refused = stranger.call("health", "", &plain_body("health"));
    refused.assert_error(401, "AuthenticationFailedException");
    // Both are slow: the proxy may choose either first, and hedges the request.
    for device in [&a, &b] {
        device.set_delay(Function::Encrypt, 1_000_000);
    }
    payments.encrypt("orders", b"x");
    let skew = [("store", "payments")];
    proxy.await_metric("xks_signature_clock_skew_seconds", &skew, |skew| {
        skew.abs() < 30.0
    });
    proxy.await_metric(
        "xks_authentication_failures_total",
        &[("reason", "signature")],
        |count| count == 1.0,
    );
    proxy.await_metric(
        "xks_errors_total",
        &[("error", "KeyNotFoundException"), ("retryable", "false")],
        |count| count == 1.0,
    );
    let (documented, always) = documented();
    let served = served(&proxy.metrics());
    for (name, family) in &served {
        assert_eq!(Some(family), documented.get(name), "{name} in the table");
    }
    for name in always {
        assert!(served.contains_key(&name), "{name} is not served");
    }
}

#[test]
fn scraping_in_haste_or_without_reading_costs_no_request() {
    let proxy = Proxy::start();
    let deaf: Vec<_> = (0..4)
        .map(|_| {
            let mut socket = http::tcp(proxy.admin).unwrap();
            // More answers than the kernel's buffers hold.
            let request = "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n".repeat(200);
            socket
                .set_write_timeout(Some(Duration::from_secs(1)))
                .unwrap();
            let _ = socket.write_all(request.as_bytes());
            socket
        })
        .collect();
    let (over, scrapes) = (AtomicBool::new(false), AtomicU32::new(0));
    thread::scope(|scope| {
        let _stop = Stop(&over);
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                assert_eq!(proxy.admin("/metrics").status, 200);
                scrapes.fetch_add(1, Ordering::Relaxed);
            }
        });
        let (payments, mut served) = (proxy.caller(&PAYMENTS), 0);
        while served < 100 || scrapes.load(Ordering::Relaxed) < 20 {
            payments.encrypt("orders", b"x");
            served += 1;
            assert!(served < 5_000, "nobody scrapes");
        }
        assert_eq!(proxy.admin("/readyz").status, 200);
    });
    drop(deaf);
}
