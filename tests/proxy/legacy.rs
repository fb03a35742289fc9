//! Ciphertexts of AWS's sample proxy: they decrypt where the key store says so, and nowhere else.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::harness::control::{FOREVER, Function};
use crate::harness::outage::{assert_blames_the_hsm, faulty_with};
use crate::harness::setup::Setup;
use crate::harness::wire::{base64, bytes, decrypt_body, encrypt_body, request_metadata, set};
use crate::harness::{PAYMENTS, Proxy, RETAIL};

/// The value of the key `old`: only a test knows the value of a key.
const KEY: [u8; 32] = *b"a key whose value is known here.";
const LEGACY: &str = "legacy_ciphertexts = [\"aws-samples-v3\"]";
const KEYS: &str = "[[key_store.key]]\nid = \"orders\"\n";

fn proxy(lines: &str) -> Proxy {
    Proxy::start_with(|setup| prepare(setup, lines))
}

fn prepare(setup: &mut Setup, lines: &str) {
    let value = setup.write_private("key-value", "");
    std::fs::write(&value, KEY).unwrap();
    let file = value.to_str().unwrap();
    setup
        .token
        .tool("key", &["--label", "old", "--value-file", file]);
    setup.token.tool("key", &["--label", "old-2"]);
    setup.in_store(&PAYMENTS, lines);
    let versions = "[{ version = 1, label = \"old\" }, { version = 2, label = \"old-2\" }]";
    let old = format!("[[key_store.key]]\nid = \"old\"\nprimary = 2\nversions = {versions}\n");
    setup.edit(KEYS, &format!("{KEYS}{old}"));
}

/// What the sample proxy would have sent: the digest of the AAD, if there was one, under the length of the AAD itself.
fn sealed_there(plaintext: &[u8], aad: Option<&[u8]>, metadata: Option<&[u8]>) -> Value {
    let mut bound = (aad.unwrap_or_default().len() as u16)
        .to_be_bytes()
        .to_vec();
    bound.extend(aad.map(Sha256::digest).into_iter().flatten());
    let metadata_bytes = metadata.unwrap_or_default();
    bound.push(metadata_bytes.len() as u8);
    bound.extend_from_slice(metadata_bytes);
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &KEY).unwrap());
    let (iv, mut text) = ([7; 12], plaintext.to_vec());
    let tag = key
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(iv),
            Aad::from(bound),
            &mut text,
        )
        .unwrap();
    let mut body = serde_json::json!({
        "requestMetadata": request_metadata("decrypt"),
        "encryptionAlgorithm": "AES_GCM",
        "ciphertext": base64(text),
        "initializationVector": base64(iv),
        "authenticationTag": base64(tag),
    });
    if let Some(aad) = aad {
        body["additionalAuthenticatedData"] = base64(aad).into();
    }
    if let Some(metadata) = metadata {
        body["ciphertextMetadata"] = base64(metadata).into();
    }
    body
}

/// Every form that the sample proxy makes: AAD absent, empty or there; metadata absent or a constant, which may look like ours.
fn all_forms() -> Vec<(Value, Vec<u8>)> {
    let aads: [Option<&[u8]>; 5] = [
        None,
        Some(b""),
        Some(b"project=nile"),
        Some(&[9; 32]),
        Some(&[1; 8_192]),
    ];
    let metadata: [Option<&[u8]>; 6] = [
        None,
        Some(b""),
        Some(b"v0.0.1"),
        Some(&[7; 20]),
        Some(&[1, 0, 0, 0, 2]),
        Some(&[1, 0, 0, 0, 77]),
    ];
    let mut forms = Vec::new();
    for aad in aads {
        for metadata in metadata {
            let plaintext = format!("{} {metadata:?}", aad.map_or(0, <[u8]>::len)).into_bytes();
            forms.push((sealed_there(&plaintext, aad, metadata), plaintext));
        }
    }
    forms
}

#[test]
fn every_form_of_the_sample_proxy_decrypts_and_is_counted() {
    let proxy = proxy(LEGACY);
    let payments = proxy.caller(&PAYMENTS);
    let counted = || proxy.metric("xks_legacy_decryptions_total", &[("store", "payments")]);
    let mut legacy = 0.0;
    for (body, plaintext) in all_forms() {
        let opened = payments.call("decrypt", "old", &body).ok();
        assert_eq!(bytes(&opened, "plaintext"), plaintext);
        let line = proxy.access_line(&body);
        // Without an AAD the two proxies' forms are the same, unless the metadata names a version.
        legacy += f64::from(line["legacy"] == true);
        assert_eq!(counted().unwrap_or_default(), legacy);
    }
    assert!(legacy >= 24.0, "{legacy}");
    let before = counted();
    let ours = payments.encrypt("old", b"ours");
    assert_eq!(
        bytes(&ours, "ciphertextMetadata"),
        [1, 0, 0, 0, 2],
        "new ones are always ours"
    );
    payments.call("decrypt", "old", &decrypt_body(&ours)).ok();
    assert_eq!(counted(), before, "ours are not counted");
}

#[test]
fn what_is_damaged_is_an_invalid_ciphertext_in_either_form() {
    let proxy = proxy(LEGACY);
    let payments = proxy.caller(&PAYMENTS);
    let good = sealed_there(b"kept", Some(b"project=nile"), Some(b"v0.0.1"));
    payments.call("decrypt", "old", &good).ok();
    for field in [
        "ciphertext",
        "initializationVector",
        "authenticationTag",
        "additionalAuthenticatedData",
        "ciphertextMetadata",
    ] {
        let mut changed = bytes(&good, field);
        *changed.last_mut().unwrap() ^= 1;
        let response = payments.call("decrypt", "old", &set(&good, field, base64(changed)));
        response.assert_error(400, "InvalidCiphertextException");
    }
    // An AAD is not its digest.
    let digest = base64(Sha256::digest(b"project=nile"));
    let response = payments.call(
        "decrypt",
        "old",
        &set(&good, "additionalAuthenticatedData", digest),
    );
    response.assert_error(400, "InvalidCiphertextException");
}

#[test]
fn a_legacy_ciphertext_costs_one_call_more_and_a_broken_hsm_is_not_its_fault() {
    let (proxy, device) = faulty_with(|setup| {
        prepare(setup, LEGACY);
        // No health check meanwhile: its calls would be counted, too.
        setup.set("health", "interval", "\"45s\"");
    });
    let payments = proxy.caller(&PAYMENTS);
    let body = sealed_there(b"kept", Some(b"project=nile"), None);
    let before = device.calls(Function::Decrypt);
    for _ in 0..10 {
        payments.call("decrypt", "old", &body).ok();
    }
    assert_eq!(device.calls(Function::Decrypt) - before, 20);
    const CKR_GENERAL_ERROR: u64 = 0x05;
    device.fail_next(Function::Decrypt, CKR_GENERAL_ERROR, FOREVER);
    for metadata in [None, Some(&[1, 0, 0, 0, 2][..]), Some(&[1, 0, 0, 0, 77])] {
        let body = sealed_there(b"kept", Some(b"project=nile"), metadata);
        assert_blames_the_hsm(&payments.call("decrypt", "old", &body));
    }
}

#[test]
fn a_store_that_does_not_say_so_decrypts_none_of_them() {
    let mut proxy = proxy("");
    let body = sealed_there(b"kept", Some(b"project=nile"), None);
    let refused = |proxy: &Proxy| {
        let response = proxy.caller(&PAYMENTS).call("decrypt", "old", &body);
        response.assert_error(400, "InvalidCiphertextException");
    };
    refused(&proxy);
    proxy.reconfigure(|setup| setup.in_store(&RETAIL, LEGACY));
    refused(&proxy);
    proxy.reconfigure(|setup| setup.in_store(&PAYMENTS, LEGACY));
    proxy.caller(&PAYMENTS).call("decrypt", "old", &body).ok();
    proxy
        .caller(&PAYMENTS)
        .call("encrypt", "orders", &encrypt_body(b"x"))
        .ok();
}
