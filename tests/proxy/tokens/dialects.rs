//! All AES-GCM dialects of devices, simulated on top of a software token. The probe detects them, outputs are checked, and KMS sees no
//! difference.

use std::collections::HashSet;

use serde_json::Value;

use crate::harness::control::{Control, Dialect, Function, IvSource};
use crate::harness::outage::await_service;
use crate::harness::wire::{base64, bytes, decrypt_body, encrypt_body, set};
use crate::harness::{Caller, PAYMENTS, Proxy};

/// A proxy with a device of this dialect.
fn speaking(dialect: Dialect, profile: &str) -> (Proxy, Control) {
    let mut control = None;
    let proxy = Proxy::launch(|setup| {
        let device = setup.faulty_module();
        device.set_dialect(dialect);
        control = Some(device);
        setup.set("hsm", "gcm_profile", &format!("{profile:?}"));
        setup.set("health", "interval", "\"1s\"");
    });
    (proxy, control.unwrap())
}

fn profile_of(proxy: &Proxy) -> String {
    let line = proxy
        .daemon
        .wait_for("the profile", |line| line["message"] == "the HSM is usable");
    line["profile"].as_str().unwrap().to_owned()
}

/// Checks what KMS relies on in each dialect: round trips, new IVs, exact lengths, and detection of changes.
fn assert_serves_normally(payments: &Caller<'_>, iv_length: usize) {
    let mut ivs = HashSet::new();
    for length in [0, 1, 15, 16, 17, 4_300] {
        let plaintext = vec![0x5a; length];
        let body = set(
            &encrypt_body(&plaintext),
            "additionalAuthenticatedData",
            base64(b"aad"),
        );
        let body = set(&body, "ciphertextDataIntegrityValueAlgorithm", "SHA_256");
        let encrypted = payments.call("encrypt", "orders", &body).ok();
        let iv = bytes(&encrypted, "initializationVector");
        assert_eq!(iv.len(), iv_length);
        assert!(
            iv.iter().any(|byte| *byte != 0) && ivs.insert(iv),
            "an IV is zero or was used twice"
        );
        assert_eq!(bytes(&encrypted, "ciphertext").len(), length);
        assert_eq!(bytes(&encrypted, "authenticationTag").len(), 16);
        let opened = set(
            &decrypt_body(&encrypted),
            "additionalAuthenticatedData",
            base64(b"aad"),
        );
        assert_eq!(
            bytes(
                &payments.call("decrypt", "orders", &opened).ok(),
                "plaintext"
            ),
            plaintext
        );
        assert_changes_are_detected(payments, &opened);
    }
}

fn assert_changes_are_detected(payments: &Caller<'_>, body: &Value) {
    let fields = [
        "ciphertext",
        "initializationVector",
        "authenticationTag",
        "additionalAuthenticatedData",
    ];
    for field in fields {
        let mut changed = bytes(body, field);
        let Some(last) = changed.last_mut() else {
            continue;
        };
        *last ^= 1;
        let response = payments.call("decrypt", "orders", &set(body, field, base64(changed)));
        response.assert_error(400, "InvalidCiphertextException");
    }
}

#[test]
fn each_dialect_is_detected_by_the_probe_and_serves_normally() {
    for (dialect, profile, iv_length) in [
        (Dialect::AsWrapped, "caller-iv", 12),
        (Dialect::IvWrittenBack, "iv-written-back", 12),
        (Dialect::IvAppended, "iv-appended", 16),
        (Dialect::ShortParams, "caller-iv (40-byte parameters)", 12),
        (Dialect::IvBitsRequired, "caller-iv", 12),
    ] {
        let (proxy, _control) = speaking(dialect, "auto");
        assert_eq!(profile_of(&proxy), profile, "{dialect:?}");
        assert_serves_normally(&proxy.caller(&PAYMENTS), iv_length);
    }
}

#[test]
fn the_vendor_mechanism_is_used_if_configured() {
    let (proxy, _control) = speaking(Dialect::IvPrepended, "iv-prepended");
    assert_eq!(profile_of(&proxy), "iv-prepended");
    assert_serves_normally(&proxy.caller(&PAYMENTS), 12);
}

#[test]
fn the_message_interface_is_used_if_configured() {
    let proxy = Proxy::launch(|setup| setup.set("hsm", "gcm_profile", "\"message\""));
    if proxy.setup.token.product.has_messages() {
        assert_eq!(profile_of(&proxy), "message");
        assert_serves_normally(&proxy.caller(&PAYMENTS), 12);
    } else {
        proxy
            .daemon
            .wait_for("that the HSM cannot be opened", |line| {
                line["message"] == "the HSM cannot be opened"
            });
    }
}

#[test]
fn ciphertexts_are_still_decrypted_after_a_change_of_the_profile() {
    // The same token with two dialects. Each decrypts ciphertexts of the other one, if the IV lengths permit it.
    let (proxy, control) = speaking(Dialect::IvWrittenBack, "auto");
    profile_of(&proxy);
    let payments = proxy.caller(&PAYMENTS);
    let encrypted = payments.encrypt("orders", b"kept");
    control.set_dialect(Dialect::IvAppended);
    control.set_removed(true);
    proxy.await_metric("xks_hsm_usable", &[("hsm", "hsm-a")], |usable| {
        usable == 0.0
    });
    control.set_removed(false);
    await_service(&payments, &decrypt_body(&encrypted));
    // The device serves before the line is written.
    proxy
        .daemon
        .wait_for("the profile probed after the reopen", |line| {
            line["message"] == "the HSM is usable" && line["profile"] == "iv-appended"
        });
}

#[test]
fn a_wrong_profile_never_serves_a_key() {
    for (dialect, profile) in [
        // Software tokens use the zero IV, which a device of that profile would overwrite, for each encryption.
        (Dialect::AsWrapped, "iv-written-back"),
        (Dialect::AsWrapped, "iv-appended"),
        (Dialect::AsWrapped, "iv-prepended"),
        (Dialect::AsWrapped, "message"),
        (Dialect::IvWrittenBack, "caller-iv"),
        (Dialect::IvAppended, "caller-iv"),
    ] {
        let (proxy, _control) = speaking(dialect, profile);
        proxy.daemon.wait_for("that it cannot be opened", |line| {
            line["message"] == "the HSM cannot be opened"
                && line["error"]
                    .as_str()
                    .is_some_and(|error| error.contains("no GCM profile"))
        });
        let payments = proxy.caller(&PAYMENTS);
        let response = payments.call("encrypt", "orders", &encrypt_body(b"x"));
        response.assert_error(500, "InternalException");
        let health = payments.health();
        assert_eq!(
            health["ekmFleetDetails"][0]["healthStatus"], "UNAVAILABLE",
            "{dialect:?} {profile}"
        );
    }
}

#[test]
fn a_device_with_repeated_ivs_is_rejected() {
    for source in [IvSource::Zero, IvSource::Constant] {
        for dialect in [Dialect::IvWrittenBack, Dialect::IvAppended] {
            let (proxy, control) = speaking(dialect, "auto");
            profile_of(&proxy);
            let payments = proxy.caller(&PAYMENTS);
            payments.encrypt("orders", b"x");
            // The fault begins while the device serves.
            control.set_iv_source(source);
            let answers = (0..8).map(|_| payments.call("encrypt", "orders", &encrypt_body(b"x")));
            let ivs: Vec<Vec<u8>> = answers
                .filter(|answer| answer.status == 200)
                .map(|answer| bytes(&answer.json(), "initializationVector"))
                .collect();
            // A repeated IV may be returned once, because its first use is not a repetition. A zero IV is never returned.
            let most = usize::from(source == IvSource::Constant);
            assert!(ivs.len() <= most, "{} of 8 with {source:?}", ivs.len());
            assert!(
                ivs.iter().all(|iv| iv.iter().any(|byte| *byte != 0)),
                "an all-zero IV left"
            );
            let labels = [("hsm", "hsm-a")];
            proxy.await_metric("xks_hsm_untrusted", &labels, |value| value == 1.0);
        }
    }
}

#[test]
fn a_device_without_aes_gcm_is_rejected_and_named() {
    let (proxy, control) = speaking(Dialect::NoGcm, "auto");
    let line = proxy.daemon.wait_for("that it has no AES-GCM", |line| {
        line["message"] == "the HSM cannot be opened"
    });
    let error = line["error"].as_str().unwrap();
    assert!(
        error.contains(proxy.setup.token.product.name()) && error.contains("CKM_AES_GCM"),
        "{error}"
    );
    assert_eq!(control.calls(Function::Encrypt), 0);
}
