//! Who is blamed for what a device returns: every code that PKCS#11 has for these calls, for a good and for a damaged ciphertext, from a
//! device that errs once and from one that errs for ever. The table stands in the test's output (`--nocapture`, or when it fails).

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::harness::control::{Control, FOREVER, Function};
use crate::harness::metrics::eventually;
use crate::harness::outage::{await_service, faulty_with};
use crate::harness::wire::{base64, decrypt_body, encrypt_body, set};
use crate::harness::{Caller, PAYMENTS, Proxy};

/// Return codes of PKCS#11 with their names: all that the standard has for encryption and decryption, and a vendor's own.
const CODES: [(u64, &str); 26] = [
    (0x02, "HOST_MEMORY"),
    (0x05, "GENERAL_ERROR"),
    (0x06, "FUNCTION_FAILED"),
    (0x07, "ARGUMENTS_BAD"),
    (0x20, "DATA_INVALID"),
    (0x21, "DATA_LEN_RANGE"),
    (0x30, "DEVICE_ERROR"),
    (0x31, "DEVICE_MEMORY"),
    (0x32, "DEVICE_REMOVED"),
    (0x40, "ENCRYPTED_DATA_INVALID"),
    (0x41, "ENCRYPTED_DATA_LEN_RANGE"),
    (0x42, "AEAD_DECRYPT_FAILED"),
    (0x50, "FUNCTION_CANCELED"),
    (0x54, "FUNCTION_NOT_SUPPORTED"),
    (0x60, "KEY_HANDLE_INVALID"),
    (0x70, "MECHANISM_INVALID"),
    (0x71, "MECHANISM_PARAM_INVALID"),
    (0x82, "OBJECT_HANDLE_INVALID"),
    (0x90, "OPERATION_ACTIVE"),
    (0x91, "OPERATION_NOT_INITIALIZED"),
    (0xB0, "SESSION_CLOSED"),
    (0xB3, "SESSION_HANDLE_INVALID"),
    (0xC0, "SIGNATURE_INVALID"),
    (0xE0, "TOKEN_NOT_PRESENT"),
    (0x101, "USER_NOT_LOGGED_IN"),
    (0x8000_0001, "VENDOR_DEFINED"),
];

/// What is asked.
#[derive(Clone, Copy, PartialEq)]
enum Ask {
    Encrypt,
    DecryptGood,
    DecryptDamaged,
}

fn outcome(payments: &Caller<'_>, ask: Ask, good: &Value) -> String {
    let damaged = set(good, "authenticationTag", base64([0; 16]));
    let response = match ask {
        Ask::Encrypt => payments.call("encrypt", "orders", &encrypt_body(b"x")),
        Ask::DecryptGood => payments.call("decrypt", "orders", good),
        Ask::DecryptDamaged => payments.call("decrypt", "orders", &damaged),
    };
    let name = response.json()["errorName"]
        .as_str()
        .unwrap_or("ok")
        .to_owned();
    name.trim_end_matches("Exception").to_owned()
}

fn is_retryable(outcome: &str) -> bool {
    ["Internal", "DependencyTimeout", "Throttling"].contains(&outcome)
}

/// Whether the outcome blames the right side: a device's fault is served after all or is retryable; a damaged ciphertext is the
/// caller's, or nobody could tell because the device never worked.
fn is_right(ask: Ask, for_ever: bool, outcome: &str) -> bool {
    match (ask, for_ever) {
        (Ask::DecryptDamaged, false) => outcome == "InvalidCiphertext",
        (Ask::DecryptDamaged, true) => outcome == "InvalidCiphertext" || is_retryable(outcome),
        (Ask::Encrypt | Ask::DecryptGood, false) => outcome == "ok",
        (Ask::Encrypt | Ask::DecryptGood, true) => is_retryable(outcome),
    }
}

/// The proxy and the device of one row. No two rows share a device.
struct Row {
    proxy: Proxy,
    control: Control,
    good: Value,
    replacements: usize,
}

impl Row {
    fn start() -> Self {
        // A health check could meet the code instead of the request.
        let (proxy, control) = faulty_with(|setup| setup.set("health", "interval", "\"45s\""));
        let good = decrypt_body(&proxy.caller(&PAYMENTS).encrypt("orders", b"x"));
        Self {
            proxy,
            control,
            good,
            replacements: 0,
        }
    }

    /// The outcome of one request, during which the device returns the code.
    fn outcome(&mut self, ask: Ask, function: Function, code: u64, count: u64) -> String {
        self.control.fail_next(function, code, count);
        let outcome = outcome(&self.proxy.caller(&PAYMENTS), ask, &self.good);
        self.control.heal();
        await_service(&self.proxy.caller(&PAYMENTS), &self.good);
        self.replace_device();
        outcome
    }

    /// Replaces the device by one with other settings, which has no failures yet. The proxy pauses before it opens a device again that has
    /// failed twice within a second, and refuses all requests meanwhile.
    fn replace_device(&mut self) {
        self.replacements += 1;
        let sessions = (2 + self.replacements % 2).to_string();
        self.proxy
            .reconfigure(|setup| setup.set("hsm", "sessions", &sessions));
        eventually("the device with the new settings", || {
            let log = self.proxy.daemon.log();
            let taken_over = |line: &&String| line.contains("the HSM's new settings are in force");
            (log.iter().filter(taken_over).count() == self.replacements).then_some(())
        });
    }

    /// How often the circuit breaker has opened, which fails the requests that wait for the device.
    fn breaker_openings(&self) -> f64 {
        let labels = [("hsm", "hsm-a"), ("to", "failed")];
        let count = self.proxy.metric("xks_hsm_transitions_total", &labels);
        count.unwrap_or_default()
    }
}

/// One row of the table.
fn row(code: u64, name: &str, (count, how_often): (u64, &str)) -> (String, Vec<String>) {
    let mut row = Row::start();
    let for_ever = count == FOREVER;
    let mut text = format!("{name:26} {how_often:9}");
    let mut wrong = Vec::new();
    for (ask, function) in [
        (Ask::Encrypt, Function::Encrypt),
        (Ask::DecryptGood, Function::Decrypt),
        (Ask::DecryptDamaged, Function::Decrypt),
    ] {
        let outcome = eventually("an answer of a device that is opened in time", || {
            let before = row.breaker_openings();
            let outcome = row.outcome(ask, function, code, count);
            // The proxy waits 250 ms for a device that is opened again. An answer after a longer opening says nothing about the code.
            let is_about_time = is_retryable(&outcome) && row.breaker_openings() > before;
            (for_ever || !is_about_time).then_some(outcome)
        });
        if !is_right(ask, for_ever, &outcome) {
            wrong.push(format!("{name} {how_often}: {outcome}"));
        }
        text += &format!(" {outcome:18}");
    }
    if !wrong.is_empty() {
        eprintln!("{wrong:?}\n{}", row.proxy.daemon.log().join("\n"));
    }
    (text, wrong)
}

#[test]
fn no_code_makes_the_proxy_blame_the_wrong_side() {
    let rows = Mutex::new(BTreeMap::new());
    let next = AtomicUsize::new(0);
    let work = || loop {
        let at = next.fetch_add(1, Ordering::Relaxed);
        let Some((code, name)) = CODES.get(at / 2) else {
            return;
        };
        let how_often = [(1, "once"), (FOREVER, "for ever")][at % 2];
        let row = row(*code, name, how_often);
        rows.lock().unwrap().insert(at, row);
    };
    // Half of the rows wait for their device.
    let at_once = 2 * std::thread::available_parallelism().unwrap().get();
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(work);
        }
    });
    let rows = rows.into_inner().unwrap();
    assert_eq!(rows.len(), 2 * CODES.len());
    eprintln!(
        "{:26} {:9} {:18} {:18} {:18}",
        "code", "how often", "encrypt", "decrypt good", "decrypt damaged"
    );
    rows.values().for_each(|(text, _)| eprintln!("{text}"));
    let wrong: Vec<&String> = rows.values().flat_map(|(_, wrong)| wrong).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}
