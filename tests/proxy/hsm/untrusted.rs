//! A device with wrong outputs: they are never returned, and the device is not used until an operator acts.

use serde_json::Value;

use crate::harness::control::{Control, Dialect, FOREVER, Function, IvSource, Lie};
use crate::harness::dialect::Spoken;
use crate::harness::metrics::eventually;
use crate::harness::outage::{faulty_with, two_faulty};
use crate::harness::setup::Setup;
use crate::harness::wire::{bytes, decrypt_body, encrypt_body, integrity_value, set};
use crate::harness::{Caller, PAYMENTS, Proxy};

/// Long enough that no ciphertext equals it by chance.
const PLAINTEXT: &[u8] = b"sixteen bytes or more";

fn body() -> Value {
    encrypt_body(PLAINTEXT)
}

fn body_with_cdiv() -> Value {
    let algorithm = "ciphertextDataIntegrityValueAlgorithm";
    set(&body(), algorithm, "SHA_256")
}

/// Disables health checks, which would get the wrong output or be counted.
fn without_checks(setup: &mut Setup) {
    setup.set("health", "interval", "\"45s\"");
}

fn is_untrusted(proxy: &Proxy, hsm: &str) -> bool {
    let value = proxy.metric("xks_hsm_untrusted", &[("hsm", hsm)]);
    value.expect("a gauge of each HSM") == 1.0
}

#[track_caller]
fn await_untrusted(proxy: &Proxy, hsm: &str) {
    let labels = [("hsm", hsm)];
    proxy.await_metric("xks_hsm_untrusted", &labels, |value| value == 1.0);
    proxy.await_metric("xks_hsm_usable", &labels, |value| value == 0.0);
}

#[track_caller]
fn assert_serves_nothing(payments: &Caller<'_>, good: &Value) {
    for (operation, body) in [("encrypt", &body()), ("decrypt", &decrypt_body(good))] {
        let response = payments.call(operation, "orders", body);
        response.assert_error(500, "InternalException");
    }
}

/// A text in the log line, and a function that causes the wrong output.
type WayToLie = (&'static str, fn(&Control));

/// All wrong outputs that the device under test can have.
fn every_lie() -> Vec<WayToLie> {
    let mut lies: Vec<WayToLie> = vec![
        ("equals the plaintext", |device| {
            device.lie(Lie::Plaintext, FOREVER);
        }),
        ("tag is all zero", |device| {
            device.lie(Lie::ZeroTag, FOREVER);
        }),
        ("bytes, which AES-GCM cannot have", |device| {
            device.lie(Lie::ShortOutput, FOREVER);
        }),
    ];
    let makes_ivs = matches!(
        Spoken::under_test().device,
        Some(Dialect::IvWrittenBack | Dialect::IvAppended | Dialect::IvPrepended)
    );
    lies.push(match makes_ivs {
        true => ("an IV twice", |device| {
            device.set_iv_source(IvSource::Constant);
        }),
        false => ("an IV twice", |device| {
            device.lie(Lie::RepeatedRandom, FOREVER);
        }),
    });
    lies
}

/// For devices that generate zero IVs, see `dialects`.
#[test]
fn a_device_with_a_wrong_output_is_not_used_any_more() {
    for (reason, lie) in every_lie() {
        let mut trail = None;
        let (proxy, device) = faulty_with(|setup| {
            without_checks(setup);
            trail = Some(setup.audit("checkpoint = { lines = 50000, interval = \"60s\" }"));
        });
        let payments = proxy.caller(&PAYMENTS);
        let good = payments.encrypt("orders", PLAINTEXT);
        assert!(!is_untrusted(&proxy, "hsm-a"));
        lie(&device);
        // IVs that were fetched earlier are still correct.
        eventually("an error", || {
            let response = payments.call("encrypt", "orders", &body());
            (response.status != 200).then(|| response.assert_error(500, "InternalException"))
        });
        await_untrusted(&proxy, "hsm-a");
        device.clear_faults();
        device.set_iv_source(IvSource::Random);
        let calls = device.calls(Function::DecryptInit);
        assert_serves_nothing(&payments, &good);
        assert_eq!(device.calls(Function::DecryptInit), calls, "{reason}");
        let details = payments.health()["ekmFleetDetails"].clone();
        assert_eq!(details[0]["healthStatus"], "UNAVAILABLE", "{reason}");
        assert_eq!(proxy.admin("/readyz").status, 503);
        let line = proxy.daemon.wait_for("the reason", |line| {
            line["message"]
                == "the HSM returned a wrong result; it is not used until an operator acts"
        });
        let logged = line["reason"].as_str().unwrap();
        assert!(logged.contains(reason), "{reason}: {line}");
        let is_noted = |line: &Value| line["event"] == "hsm_state" && line["state"] == "untrusted";
        eventually("an audit event", || {
            let events = trail.as_ref().unwrap().of_kind("security");
            events.iter().any(is_noted).then_some(())
        });
    }
}

#[test]
fn only_an_operator_can_enable_it_again() {
    let (mut proxy, device) = faulty_with(without_checks);
    let good = proxy.caller(&PAYMENTS).encrypt("orders", PLAINTEXT);
    device.lie(Lie::ZeroTag, 1);
    let lied = proxy.caller(&PAYMENTS).call("encrypt", "orders", &body());
    lied.assert_error(500, "InternalException");
    await_untrusted(&proxy, "hsm-a");
    // A setting that may change without an operator, like a PIN file.
    proxy.reconfigure(|setup| setup.set("hsm", "sessions", "3"));
    proxy.daemon.wait_for("the new settings", |line| {
        line["message"] == "configuration changed" && line["place"] == "hsm.hsm-a.sessions"
    });
    assert!(is_untrusted(&proxy, "hsm-a"));
    assert_serves_nothing(&proxy.caller(&PAYMENTS), &good);
    proxy.kill_and_start_again();
    assert!(!is_untrusted(&proxy, "hsm-a"));
    let payments = proxy.caller(&PAYMENTS);
    payments.encrypt("orders", PLAINTEXT);
    payments
        .call("decrypt", "orders", &decrypt_body(&good))
        .ok();
}

#[test]
fn an_hsm_that_is_removed_and_added_again_is_trusted() {
    let (proxy, _a, b) = two_faulty(|_| {});
    // A job or the health check gets the wrong output.
    b.lie(Lie::ZeroTag, FOREVER);
    await_untrusted(&proxy, "hsm-b");
    b.clear_faults();
    let both = proxy.setup.toml();
    let at = both.find("[[hsm]]\nname = \"hsm-b\"").unwrap();
    proxy.reconfigure_by(&both[..at]);
    eventually("the gauge is gone", || {
        let gauge = proxy.metric("xks_hsm_untrusted", &[("hsm", "hsm-b")]);
        gauge.is_none().then_some(())
    });
    proxy.reconfigure_by(&both);
    proxy.await_metric("xks_hsm_usable", &[("hsm", "hsm-b")], |usable| {
        usable == 1.0
    });
    assert!(!is_untrusted(&proxy, "hsm-b"));
}

/// One device returns a wrong output, and the other one serves.
#[test]
fn another_hsm_serves_instead() {
    let (proxy, a, b) = two_faulty(without_checks);
    let payments = proxy.caller(&PAYMENTS);
    a.lie(Lie::Plaintext, FOREVER);
    for _ in 0..20 {
        let encrypted = payments.call("encrypt", "orders", &body()).ok();
        assert_ne!(bytes(&encrypted, "ciphertext"), PLAINTEXT);
        let opened = payments
            .call("decrypt", "orders", &decrypt_body(&encrypted))
            .ok();
        assert_eq!(bytes(&opened, "plaintext"), PLAINTEXT);
        b.set_delay(Function::Encrypt, 5_000);
    }
    await_untrusted(&proxy, "hsm-a");
    assert!(!is_untrusted(&proxy, "hsm-b"));
}

/// The answer of the slower HSM is also checked.
#[test]
fn a_wrong_output_is_detected_in_an_unused_hedged_answer() {
    let (proxy, a, b) = two_faulty(|setup| {
        without_checks(setup);
        setup.set("failover", "hedge_delay", "\"5ms\"");
    });
    let payments = proxy.caller(&PAYMENTS);
    a.lie(Lie::ZeroTag, FOREVER);
    // The proxy chooses one first, and sends a hedged request to the other one.
    for device in [&a, &b] {
        device.set_delay(Function::Encrypt, 200_000);
    }
    payments.call("encrypt", "orders", &body()).ok();
    await_untrusted(&proxy, "hsm-a");
}

/// The number of encryption and decryption calls of the device so far.
fn calls(device: &Control) -> (u64, u64) {
    (
        device.calls(Function::Encrypt),
        device.calls(Function::Decrypt),
    )
}

#[test]
fn a_cdiv_is_one_job_of_two_calls() {
    let (proxy, device) = faulty_with(without_checks);
    let payments = proxy.caller(&PAYMENTS);
    let jobs = |operation: &str| {
        let labels = [("hsm", "hsm-a"), ("operation", operation)];
        let count = proxy.metric("xks_hsm_device_seconds_count", &labels);
        count.unwrap_or_default()
    };
    let before = (calls(&device), jobs("encrypt"), jobs("decrypt"));
    let encrypted = payments.call("encrypt", "orders", &body_with_cdiv()).ok();
    let expected = integrity_value(b"", &encrypted);
    assert_eq!(encrypted["ciphertextDataIntegrityValue"], expected);
    let ((encryptions, decryptions), encrypt_jobs, decrypt_jobs) = before;
    assert_eq!(calls(&device), (encryptions + 1, decryptions + 1));
    assert_eq!(jobs("encrypt"), encrypt_jobs + 1.0);
    assert_eq!(jobs("decrypt"), decrypt_jobs);
}

#[test]
fn an_encryption_is_repeated_if_its_ciphertext_does_not_decrypt() {
    for lie in [Lie::WrongCiphertext, Lie::WrongPlaintext] {
        let (proxy, device) = faulty_with(without_checks);
        let payments = proxy.caller(&PAYMENTS);
        let good = payments.call("encrypt", "orders", &body_with_cdiv()).ok();
        device.lie(lie, 1);
        let (before, _) = calls(&device);
        let body = body_with_cdiv();
        let encrypted = payments.call("encrypt", "orders", &body).ok();
        // After a failed decryption, a known-good ciphertext of the same key is made and decrypted.
        let attribution_calls = u64::from(lie == Lie::WrongCiphertext);
        let made = calls(&device).0 - before;
        assert_eq!(
            made,
            2 + attribution_calls,
            "the first ciphertext was discarded"
        );
        let opened = payments
            .call("decrypt", "orders", &decrypt_body(&encrypted))
            .ok();
        assert_eq!(bytes(&opened, "plaintext"), PLAINTEXT);
        assert!(
            !is_untrusted(&proxy, "hsm-a"),
            "one failure is not sufficient"
        );
        // A wrong ciphertext is decrypted twice before the error is attributed to the device, with a health check in between.
        device.lie(lie, FOREVER);
        let response = payments.call("encrypt", "orders", &body_with_cdiv());
        response.assert_error(500, "InternalException");
        await_untrusted(&proxy, "hsm-a");
        device.clear_faults();
        assert_serves_nothing(&payments, &good);
    }
}

/// The key may be the cause, so the HSM must keep serving other keys.
#[test]
fn a_key_that_never_decrypted_does_not_disable_the_hsm() {
    let (proxy, device) = faulty_with(without_checks);
    let payments = proxy.caller(&PAYMENTS);
    device.lie(Lie::WrongCiphertext, 2);
    let response = payments.call("encrypt", "orders", &body_with_cdiv());
    response.assert_error(500, "InternalException");
    assert_eq!(device.lies_left(), 0);
    assert!(!is_untrusted(&proxy, "hsm-a"));
    payments.call("encrypt", "orders", &body_with_cdiv()).ok();
}

#[test]
fn with_verify_encryptions_every_ciphertext_is_verified() {
    for verifies in [false, true] {
        let (proxy, device) = faulty_with(|setup| {
            without_checks(setup);
            setup.set("hsm", "verify_encryptions", &verifies.to_string());
        });
        let payments = proxy.caller(&PAYMENTS);
        payments.encrypt("orders", PLAINTEXT);
        device.lie(Lie::WrongCiphertext, 1);
        let (before, _) = calls(&device);
        let encrypted = payments.call("encrypt", "orders", &body()).ok();
        assert_eq!(encrypted["ciphertextDataIntegrityValue"], Value::Null);
        // One more call for the attribution of the error, and one for the returned ciphertext.
        assert_eq!(calls(&device).0 - before, 1 + 2 * u64::from(verifies));
        let response = payments.call("decrypt", "orders", &decrypt_body(&encrypted));
        assert_eq!(response.status == 200, verifies, "{response:?}");
        let usage = payments.call("encrypt", "encrypt-only", &body());
        match verifies {
            true => usage.assert_error(400, "InvalidKeyUsageException"),
            false => drop(usage.ok()),
        }
    }
}
