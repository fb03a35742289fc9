//! Who is blamed for what a device returns: every code that PKCS#11 has for these calls, for a good and for a damaged ciphertext, from a
//! device that errs once and from one that errs for ever. The table stands in the test's output (`--nocapture`, or when it fails).

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::harness::control::{FOREVER, Function};
use crate::harness::outage::{await_service, faulty};
use crate::harness::wire::{base64, decrypt_body, encrypt_body, set};
use crate::harness::{Caller, PAYMENTS};

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

/// Whether the outcome blames the right side: a device's fault is served after all or is retryable; a damaged ciphertext is the
/// caller's, or nobody could tell because the device never worked.
fn is_right(ask: Ask, for_ever: bool, outcome: &str) -> bool {
    let retryable = ["Internal", "DependencyTimeout", "Throttling"].contains(&outcome);
    match (ask, for_ever) {
        (Ask::DecryptDamaged, false) => outcome == "InvalidCiphertext",
        (Ask::DecryptDamaged, true) => outcome == "InvalidCiphertext" || retryable,
        (Ask::Encrypt | Ask::DecryptGood, false) => outcome == "ok",
        (Ask::Encrypt | Ask::DecryptGood, true) => retryable,
    }
}

/// One row of the table, on a proxy of its own: what it does to the device is nobody else's.
fn row(code: u64, name: &str, (count, how_often): (u64, &str)) -> (String, Vec<String>) {
    let (proxy, control) = faulty();
    let payments = proxy.caller(&PAYMENTS);
    let good = decrypt_body(&payments.encrypt("orders", b"x"));
    let mut text = format!("{name:26} {how_often:9}");
    let mut wrong = Vec::new();
    for (ask, function) in [
        (Ask::Encrypt, Function::Encrypt),
        (Ask::DecryptGood, Function::Decrypt),
        (Ask::DecryptDamaged, Function::Decrypt),
    ] {
        control.fail_next(function, code, count);
        let outcome = outcome(&payments, ask, &good);
        if !is_right(ask, count == FOREVER, &outcome) {
            wrong.push(format!("{name} {how_often}: {outcome}"));
        }
        text += &format!(" {outcome:18}");
        control.heal();
        await_service(&payments, &good);
        // A device that fails twice within a second is given a pause.
        std::thread::sleep(Duration::from_millis(1_100));
    }
    if !wrong.is_empty() {
        eprintln!("{wrong:?}\n{}", proxy.daemon.log().join("\n"));
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
    // The rows wait for the device more than they work.
    std::thread::scope(|scope| {
        for _ in 0..13 {
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
