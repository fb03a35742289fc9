//! Ciphertexts of AWS's sample proxy: only key stores that allow them decrypt them.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::harness::control::{FOREVER, Function};
use crate::harness::outage::{assert_blames_the_hsm, faulty_with};
use crate::harness::setup::Setup;
use crate::harness::wire::{base64, bytes, decrypt_body, encrypt_body, request_metadata, set};
use crate::harness::{PAYMENTS, Proxy, RETAIL};

/// The value of the key `old`, which the test needs to encrypt like the sample proxy.
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

/// Returns the Decrypt body for a ciphertext of the sample proxy. Its framing has the length of the AAD and, if there is an AAD, the digest of it.
fn sample_proxy_body(plaintext: &[u8], aad: Option<&[u8]>, metadata: Option<&[u8]>) -> Value {
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

/// Returns every form of the sample proxy's ciphertexts: the AAD is missing, empty or present; the metadata is missing or a constant, which may look like
/// this proxy's metadata.
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
            forms.push((sample_proxy_body(&plaintext, aad, metadata), plaintext));
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
        // Without an AAD and with metadata of version 1, the framings of both proxies are equal.
        legacy += f64::from(line["legacy"] == true);
        assert_eq!(counted().unwrap_or_default(), legacy);
    }
    assert_eq!(legacy, 30.0);
    let before = counted();
    let ours = payments.encrypt("old", b"ours");
    assert_eq!(
        bytes(&ours, "ciphertextMetadata"),
        [1, 0, 0, 0, 2],
        "new ciphertexts have this proxy's form"
    );
    payments.call("decrypt", "old", &decrypt_body(&ours)).ok();
    assert_eq!(
        counted(),
        before,
        "ciphertexts of this proxy are not counted"
    );
}

#[test]
fn a_changed_legacy_ciphertext_is_an_invalid_ciphertext() {
    let proxy = proxy(LEGACY);
    let payments = proxy.caller(&PAYMENTS);
    let good = sample_proxy_body(b"kept", Some(b"project=nile"), Some(b"v0.0.1"));
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
    // The digest of the AAD is not accepted as the AAD.
    let digest = base64(Sha256::digest(b"project=nile"));
    let response = payments.call(
        "decrypt",
        "old",
        &set(&good, "additionalAuthenticatedData", digest),
    );
    response.assert_error(400, "InvalidCiphertextException");
}

#[test]
fn a_legacy_ciphertext_needs_at_most_one_more_call_and_hsm_errors_are_reported_as_such() {
    let (proxy, device) = faulty_with(|setup| {
        prepare(setup, LEGACY);
        // No health check runs during the test, because its calls would be counted too.
        setup.set("health", "interval", "\"45s\"");
    });
    let payments = proxy.caller(&PAYMENTS);
    // Only metadata with a version can belong to a ciphertext of this proxy.
    let names_a_version: &[u8] = &[1, 0, 0, 0, 1];
    for (metadata, calls) in [(None, 10), (Some(names_a_version), 20)] {
        let body = sample_proxy_body(b"kept", Some(b"project=nile"), metadata);
        let before = device.calls(Function::Decrypt);
        for _ in 0..10 {
            payments.call("decrypt", "old", &body).ok();
        }
        let calls_made = device.calls(Function::Decrypt) - before;
        assert_eq!(calls_made, calls, "{metadata:?}");
    }
    const CKR_GENERAL_ERROR: u64 = 0x05;
    device.fail_next(Function::Decrypt, CKR_GENERAL_ERROR, FOREVER);
    for metadata in [None, Some(&[1, 0, 0, 0, 2][..]), Some(&[1, 0, 0, 0, 77])] {
        let body = sample_proxy_body(b"kept", Some(b"project=nile"), metadata);
        assert_blames_the_hsm(&payments.call("decrypt", "old", &body));
    }
}

/// Both proxies can bind a ciphertext to the same bytes: this proxy for the AAD SHA-256(Y), the sample proxy for the AAD Y, if Y has 32 bytes.
#[test]
fn a_ciphertext_does_not_decrypt_under_the_aad_of_the_other_form() {
    let proxy = proxy(LEGACY);
    let payments = proxy.caller(&PAYMENTS);
    let aad = "additionalAuthenticatedData";
    let (y, digest) = ([9; 32], Sha256::digest([9; 32]));
    // A ciphertext of this proxy has metadata of version 1, the only version of `orders`.
    let ours = set(&encrypt_body(b"kept"), aad, base64(digest));
    let ours = decrypt_body(&payments.call("encrypt", "orders", &ours).ok());
    let under = |bound: &[u8]| payments.call("decrypt", "orders", &set(&ours, aad, base64(bound)));
    under(&y).assert_error(400, "InvalidCiphertextException");
    assert_eq!(bytes(&under(&digest).ok(), "plaintext"), b"kept");
    // A ciphertext of the sample proxy has other metadata.
    for metadata in [None, Some(&b"v0.0.1"[..]), Some(&[7; 20])] {
        let theirs = sample_proxy_body(b"kept", Some(&y), metadata);
        payments.call("decrypt", "old", &theirs).ok();
        let moved = set(&theirs, aad, base64(digest));
        let response = payments.call("decrypt", "old", &moved);
        response.assert_error(400, "InvalidCiphertextException");
    }
}

/// The length in the sample proxy's framing is that of the AAD, but the digest of the AAD follows it. So a framing of this proxy can also be read as one of
/// the sample proxy, with a part of the AAD as metadata.
#[test]
fn a_ciphertext_does_not_decrypt_when_its_aad_is_moved_into_the_metadata() {
    let proxy = proxy(LEGACY);
    let payments = proxy.caller(&PAYMENTS);
    let aad = "additionalAuthenticatedData";
    let y = [9; 41];
    // SHA-256(Y), then bytes that can be read as the length and the beginning of other metadata.
    let chosen = [&Sha256::digest(y)[..], &[14], b"12345678"].concat();
    let ours = set(&encrypt_body(b"kept"), aad, base64(&chosen));
    let ours = decrypt_body(&payments.call("encrypt", "orders", &ours).ok());
    payments
        .call("decrypt", "orders", &set(&ours, aad, base64(&chosen)))
        .ok();
    let metadata = [b"12345678".as_slice(), &[5, 1, 0, 0, 0, 1]].concat();
    let moved = set(&ours, aad, base64(y));
    let moved = set(&moved, "ciphertextMetadata", base64(metadata));
    let response = payments.call("decrypt", "orders", &moved);
    response.assert_error(400, "InvalidCiphertextException");
}

#[test]
fn a_store_without_the_setting_decrypts_no_legacy_ciphertext() {
    let mut proxy = proxy("");
    let body = sample_proxy_body(b"kept", Some(b"project=nile"), None);
    let assert_rejected = |proxy: &Proxy| {
        let response = proxy.caller(&PAYMENTS).call("decrypt", "old", &body);
        response.assert_error(400, "InvalidCiphertextException");
    };
    assert_rejected(&proxy);
    proxy.reconfigure(|setup| setup.in_store(&RETAIL, LEGACY));
    assert_rejected(&proxy);
    proxy.reconfigure(|setup| setup.in_store(&PAYMENTS, LEGACY));
    proxy.caller(&PAYMENTS).call("decrypt", "old", &body).ok();
    proxy
        .caller(&PAYMENTS)
        .call("encrypt", "orders", &encrypt_body(b"x"))
        .ok();
}
