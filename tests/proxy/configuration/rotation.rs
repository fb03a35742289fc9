//! Rotation of credentials and keys under load: no request is rejected, and every ciphertext can still be decrypted.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use serde_json::Value;

use crate::harness::load::Stop;
use crate::harness::metrics::eventually;
use crate::harness::wire::{
    base64, bytes, decrypt_body, encrypt_body, integrity_value, plain_body, set, unset,
};
use crate::harness::{Caller, PAYMENTS, PAYMENTS_NEXT, Proxy};

/// The second version of the key `ledger` is another key of the token, which no store names otherwise.
const VERSIONS: &str =
    "versions = [{ version = 1, label = \"ledger-key\" }, { version = 2, label = \"spare\" }]\n";
const ONE: &str = "id = \"ledger\"\nlabel = \"ledger-key\"\n";

fn ledger(primary: u32) -> String {
    format!("id = \"ledger\"\nprimary = {primary}\n{VERSIONS}")
}

/// A proxy whose token has a key for the second version.
fn with_spare() -> Proxy {
    Proxy::start_with(|setup| {
        setup.token.tool("key", &["--label", "spare"]);
    })
}

fn version_of(encrypted: &Value) -> Vec<u8> {
    bytes(encrypted, "ciphertextMetadata")
}

#[test]
fn every_version_decrypts_and_the_primary_encrypts() {
    let mut proxy = with_spare();
    let with_one = proxy.caller(&PAYMENTS).encrypt("ledger", b"one");
    proxy.reconfigure(|setup| setup.edit(ONE, &ledger(1)));
    let still_one = proxy.caller(&PAYMENTS).encrypt("ledger", b"still one");
    proxy.reconfigure(|setup| setup.edit("primary = 1", "primary = 2"));
    let payments = proxy.caller(&PAYMENTS);
    let with_two = payments.encrypt("ledger", b"two");
    assert_eq!(version_of(&still_one), [1, 0, 0, 0, 1]);
    assert_eq!(version_of(&with_two), [1, 0, 0, 0, 2]);
    for (encrypted, plaintext) in [
        (&with_one, &b"one"[..]),
        (&still_one, b"still one"),
        (&with_two, b"two"),
    ] {
        let opened = payments
            .call("decrypt", "ledger", &decrypt_body(encrypted))
            .ok();
        assert_eq!(bytes(&opened, "plaintext"), plaintext);
    }
    let body = set(
        &encrypt_body(b"x"),
        "ciphertextDataIntegrityValueAlgorithm",
        "SHA_256",
    );
    let encrypted = payments.call("encrypt", "ledger", &body).ok();
    assert_eq!(
        encrypted["ciphertextDataIntegrityValue"],
        integrity_value(b"", &encrypted)
    );
    let count = |version| {
        let labels = [
            ("key", "ledger"),
            ("store", "payments"),
            ("version", version),
        ];
        proxy.metric("xks_key_encryptions_total", &labels)
    };
    assert_eq!(
        (count("1"), count("2")),
        (Some(2.0), Some(2.0)),
        "of each version, across the changes"
    );
    let line = proxy.access_line(&body);
    assert_eq!(line["key_version"], 2);
}

#[test]
fn a_version_is_bound_to_its_ciphertext() {
    let mut proxy = with_spare();
    proxy.reconfigure(|setup| setup.edit(ONE, &ledger(2)));
    let payments = proxy.caller(&PAYMENTS);
    let body = decrypt_body(&payments.encrypt("ledger", b"two"));
    payments.call("decrypt", "ledger", &body).ok();
    let field = "ciphertextMetadata";
    for other in [
        &[1, 0, 0, 0, 1][..],
        &[1, 0, 0, 0, 3],
        &[1, 0, 0, 0, 0],
        &[1, 0, 0, 0, 2, 0],
        &[],
    ] {
        let changed = set(&body, field, base64(other));
        let response = payments.call("decrypt", "ledger", &changed);
        response.assert_error(400, "InvalidCiphertextException");
    }
    let response = payments.call("decrypt", "ledger", &unset(&body, field));
    response.assert_error(400, "InvalidCiphertextException");
}

#[test]
fn metadata_is_of_the_primary_version() {
    let mut proxy = with_spare();
    // KMS would reject version 2 of this key.
    let weak = ledger(1).replace("\"spare\"", "\"encrypt-only\"");
    proxy.reconfigure(|setup| {
        setup.edit("[[key_store.key]]\nid = \"encrypt-only\"\n", "");
        setup.edit(ONE, &weak);
    });
    let usage = |proxy: &Proxy| {
        let caller = proxy.caller(&PAYMENTS);
        let metadata = caller
            .call("metadata", "ledger", &plain_body("metadata"))
            .ok();
        metadata["keyUsage"].clone()
    };
    assert_eq!(usage(&proxy), serde_json::json!(["ENCRYPT", "DECRYPT"]));
    proxy.reconfigure(|setup| setup.edit("primary = 1", "primary = 2"));
    assert_eq!(usage(&proxy), serde_json::json!(["ENCRYPT"]));
}

struct Load<'a> {
    stop: &'a AtomicBool,
    done: AtomicUsize,
}

impl Load<'_> {
    /// Encrypts and decrypts until `stop` is set. Every request must succeed. Returns all responses to `encrypt`.
    fn run(&self, caller: &Caller<'_>) -> Vec<Value> {
        let (mut connection, mut all) = (caller.proxy.connect(), Vec::new());
        while !self.stop.load(Ordering::Relaxed) {
            let body = encrypt_body(b"kept").to_string();
            let encrypted = connection
                .exchange(&caller.request("encrypt", "ledger", body))
                .ok();
            let body = decrypt_body(&encrypted).to_string();
            let opened = connection
                .exchange(&caller.request("decrypt", "ledger", body))
                .ok();
            assert_eq!(bytes(&opened, "plaintext"), b"kept");
            all.push(encrypted);
            self.done.fetch_add(1, Ordering::Relaxed);
        }
        all
    }

    /// Waits for more than 30 further round trips.
    fn await_more(&self) {
        let before = self.done.load(Ordering::Relaxed);
        eventually("more requests", || {
            (self.done.load(Ordering::Relaxed) > before + 30).then_some(())
        });
    }
}

#[test]
fn a_key_is_rotated_under_load() {
    let mut proxy = with_spare();
    let mut step = |from: &str, to: &str| {
        proxy.setup.edit(from, to);
        proxy.setup.toml()
    };
    let texts = [step(ONE, &ledger(1)), step("primary = 1", "primary = 2")];
    let stop = AtomicBool::new(false);
    let load = Load {
        stop: &stop,
        done: AtomicUsize::new(0),
    };
    let all: Vec<Value> = thread::scope(|scope| {
        let _stop = Stop(&stop);
        let threads: Vec<_> = (0..3)
            .map(|_| scope.spawn(|| load.run(&proxy.caller(&PAYMENTS))))
            .collect();
        load.await_more();
        for text in &texts {
            proxy.reconfigure_by(text);
            load.await_more();
        }
        stop.store(true, Ordering::Relaxed);
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    let versions: HashSet<_> = all.iter().map(version_of).collect();
    assert_eq!(versions.len(), 2, "both versions have encrypted");
    let payments = proxy.caller(&PAYMENTS);
    for encrypted in all.iter().step_by(all.len() / 40 + 1) {
        payments
            .call("decrypt", "ledger", &decrypt_body(encrypted))
            .ok();
    }
}

/// The configuration `both`, which has two credentials of a store, as it is before and after the rotation: with the old one only and
/// with the new one only.
fn with_one_credential(both: &str) -> (String, String) {
    let next = format!(
        "[[key_store.credential]]\naccess_key_id = {:?}",
        PAYMENTS_NEXT.access_key_id
    );
    let start = both.find(&next).unwrap();
    let end = start + 2 + both[start + 2..].find("[[").unwrap();
    let entry = format!("{}\n", both[start..end].trim_end());
    let old = entry.replace(PAYMENTS_NEXT.access_key_id, PAYMENTS.access_key_id);
    let (only_old, only_new) = (both.replacen(&entry, "", 1), both.replacen(&old, "", 1));
    assert!(only_old.len() < both.len() && only_new.len() < both.len());
    (only_old, only_new)
}

#[test]
fn a_credential_is_rotated_under_load() {
    let proxy = Proxy::start();
    let both = proxy.setup.toml();
    let (only_old, only_new) = with_one_credential(&both);
    proxy.reconfigure_by(&only_old);
    let used = |id: &str| {
        let labels = [("store", "payments"), ("access_key_id", id)];
        proxy.metric("xks_credential_last_used_timestamp_seconds", &labels)
    };
    let stops = [AtomicBool::new(false), AtomicBool::new(false)];
    let [old, new] = stops.each_ref().map(|stop| Load {
        stop,
        done: AtomicUsize::new(0),
    });
    thread::scope(|scope| {
        let _stops = stops.each_ref().map(Stop);
        let with_old = scope.spawn(|| old.run(&proxy.caller(&PAYMENTS)));
        old.await_more();
        assert!(used(PAYMENTS.access_key_id) > Some(0.0));
        proxy.reconfigure_by(&both);
        assert_eq!(
            used(PAYMENTS_NEXT.access_key_id),
            Some(0.0),
            "known, not used yet"
        );
        let with_new = scope.spawn(|| new.run(&proxy.caller(&PAYMENTS_NEXT)));
        new.await_more();
        stops[0].store(true, Ordering::Relaxed);
        with_old.join().unwrap();
        assert!(used(PAYMENTS_NEXT.access_key_id) > Some(0.0));
        proxy.reconfigure_by(&only_new);
        new.await_more();
        stops[1].store(true, Ordering::Relaxed);
        with_new.join().unwrap();
    });
    assert_eq!(
        used(PAYMENTS.access_key_id),
        None,
        "a credential that is gone has no metric"
    );
    let response = proxy
        .caller(&PAYMENTS)
        .call("encrypt", "orders", &encrypt_body(b"x"));
    response.assert_error(401, "AuthenticationFailedException");
}
