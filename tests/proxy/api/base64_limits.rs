//! Strict Base64, and the lengths of IV, tag, metadata and AAD: input that a lenient decoder or a shifted boundary would accept.

use serde_json::Value;

use crate::harness::wire::{base64, bytes, decrypt_body, encrypt_body, set, unset};
use crate::harness::{Caller, PAYMENTS, Proxy};

#[track_caller]
fn assert_not_decrypted(payments: &Caller<'_>, body: &Value) {
    let response = payments.call("decrypt", "orders", body);
    response.assert_error(400, "InvalidCiphertextException");
}

/// Encrypts 32 bytes with an AAD, and returns the body of the Decrypt request, which succeeds.
fn encrypted_with_aad(payments: &Caller<'_>) -> Value {
    let body = set(
        &encrypt_body(&[7; 32]),
        "additionalAuthenticatedData",
        base64("the AAD"),
    );
    let encrypted = payments.call("encrypt", "orders", &body).ok();
    let decrypt = set(
        &decrypt_body(&encrypted),
        "additionalAuthenticatedData",
        base64("the AAD"),
    );
    assert_eq!(
        bytes(
            &payments.call("decrypt", "orders", &decrypt).ok(),
            "plaintext"
        ),
        [7; 32]
    );
    decrypt
}

/// Base64 that is not standard (as "+/+/" is), not padded (as "AA==" is) or not canonical ("AB==" has unused bits that are not zero).
const WRONG_BASE64: [&str; 19] = [
    "-_-_",
    "AA",
    "AA=",
    "AAA",
    "A",
    "AA===",
    "AB==",
    "AAB=",
    "AA==AA==",
    "AAAA AAAA",
    "AAAA\n",
    " AAAA",
    "AA=A",
    "====",
    "=",
    "AA*=",
    "\u{ff21}AAA",
    "AAAA\u{0}",
    "%41AAA",
];

#[test]
fn base64_that_is_not_standard_padded_and_canonical_is_a_validation_error() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    let decrypt = encrypted_with_aad(&payments);
    let encrypt = set(
        &encrypt_body(b"x"),
        "additionalAuthenticatedData",
        base64("x"),
    );
    let fields = [
        (
            "encrypt",
            &encrypt,
            &["plaintext", "additionalAuthenticatedData"][..],
        ),
        (
            "decrypt",
            &decrypt,
            &["ciphertext", "initializationVector", "authenticationTag"],
        ),
        (
            "decrypt",
            &decrypt,
            &["ciphertextMetadata", "additionalAuthenticatedData"],
        ),
    ];
    for (operation, body, fields) in fields {
        for (field, text) in fields
            .iter()
            .flat_map(|field| WRONG_BASE64.map(|text| (field, text)))
        {
            let response = payments.call(operation, "orders", &set(body, field, text));
            assert_eq!(response.status, 400, "{field} = {text:?}: {response:?}");
            response.assert_error(400, "ValidationException");
        }
    }
}

#[test]
fn an_iv_of_another_length_is_an_invalid_ciphertext() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    let decrypt = encrypted_with_aad(&payments);
    let iv = bytes(&decrypt, "initializationVector");
    let lengths = [0, 1, 8, 11, 12, 13, 14, 15, 16, 17, 32, 256];
    for length in lengths.into_iter().filter(|length| *length != iv.len()) {
        let other: Vec<u8> = iv
            .iter()
            .copied()
            .chain(std::iter::repeat(0))
            .take(length)
            .collect();
        assert_not_decrypted(
            &payments,
            &set(&decrypt, "initializationVector", base64(other)),
        );
    }
}

#[test]
fn a_tag_of_another_length_with_the_ciphertext_shifted_is_an_invalid_ciphertext() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    let decrypt = encrypted_with_aad(&payments);
    let whole = [
        bytes(&decrypt, "ciphertext"),
        bytes(&decrypt, "authenticationTag"),
    ]
    .concat();
    // The HSM receives the same ciphertext ‖ tag each time, so only the proxy can find the shift.
    for length in [0, 1, 4, 12, 13, 14, 15, 17, 32, 48] {
        let (ciphertext, tag) = whole.split_at(whole.len() - length);
        let shifted = set(&decrypt, "ciphertext", base64(ciphertext));
        assert_not_decrypted(&payments, &set(&shifted, "authenticationTag", base64(tag)));
    }
}

#[test]
fn a_shortened_tag_is_an_invalid_ciphertext() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    let decrypt = encrypted_with_aad(&payments);
    let tag = bytes(&decrypt, "authenticationTag");
    for length in [0, 4, 8, 12, 15] {
        let short = set(&decrypt, "authenticationTag", base64(&tag[..length]));
        assert_not_decrypted(&payments, &short);
    }
}

#[test]
fn one_changed_bit_anywhere_is_an_invalid_ciphertext() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    let decrypt = encrypted_with_aad(&payments);
    for field in [
        "ciphertext",
        "initializationVector",
        "authenticationTag",
        "ciphertextMetadata",
        "additionalAuthenticatedData",
    ] {
        let original = bytes(&decrypt, field);
        for position in [0, original.len() - 1] {
            let mut changed = original.clone();
            changed[position] ^= 1;
            assert_not_decrypted(&payments, &set(&decrypt, field, base64(changed)));
        }
        let shortened = &original[..original.len() - 1];
        assert_not_decrypted(&payments, &set(&decrypt, field, base64(shortened)));
        assert_not_decrypted(&payments, &set(&decrypt, field, ""));
    }
    payments.call("decrypt", "orders", &decrypt).ok();
}

#[test]
fn metadata_that_is_missing_too_long_or_moved_into_the_aad_is_an_invalid_ciphertext() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    let decrypt = encrypted_with_aad(&payments);
    let metadata = bytes(&decrypt, "ciphertextMetadata");
    assert_not_decrypted(&payments, &unset(&decrypt, "ciphertextMetadata"));
    for length in [6, 20, 21, 255, 256] {
        let longer: Vec<u8> = metadata
            .iter()
            .copied()
            .chain(std::iter::repeat(0))
            .take(length)
            .collect();
        assert_not_decrypted(
            &payments,
            &set(&decrypt, "ciphertextMetadata", base64(longer)),
        );
    }
    // Without the lengths of the framing, these would be the same bytes.
    let concatenated = [b"the AAD".as_slice(), &metadata].concat();
    let moved = set(
        &decrypt,
        "additionalAuthenticatedData",
        base64(concatenated),
    );
    assert_not_decrypted(&payments, &unset(&moved, "ciphertextMetadata"));
    let framed = [b"the AAD".as_slice(), &[5], &metadata].concat();
    let moved = set(&decrypt, "additionalAuthenticatedData", base64(framed));
    assert_not_decrypted(&payments, &unset(&moved, "ciphertextMetadata"));
}

#[test]
fn metadata_of_an_unknown_version_is_an_invalid_ciphertext() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    let decrypt = encrypted_with_aad(&payments);
    for metadata in [
        [1, 0, 0, 0, 2],
        [1, 0, 0, 0, 0],
        [2, 0, 0, 0, 1],
        [1, 255, 255, 255, 255],
    ] {
        assert_not_decrypted(
            &payments,
            &set(&decrypt, "ciphertextMetadata", base64(metadata)),
        );
    }
}

#[test]
fn a_ciphertext_of_another_key_is_an_invalid_ciphertext() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    let decrypt = decrypt_body(&payments.encrypt("ledger", b"x"));
    assert_not_decrypted(&payments, &decrypt);
    payments.call("decrypt", "ledger", &decrypt).ok();
}

#[track_caller]
fn encrypt_with_aad_of(payments: &Caller<'_>, length: usize) -> crate::harness::response::Response {
    let aad = base64(vec![0x61; length]);
    let body = set(&encrypt_body(b"x"), "additionalAuthenticatedData", aad);
    payments.call("encrypt", "orders", &body)
}

#[test]
fn an_aad_of_8192_bytes_works_and_one_over_the_body_limit_is_unsupported() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    for length in [0, 1, 8_192] {
        let encrypted = encrypt_with_aad_of(&payments, length).ok();
        let aad = base64(vec![0x61; length]);
        let decrypt = set(
            &decrypt_body(&encrypted),
            "additionalAuthenticatedData",
            aad,
        );
        assert_eq!(
            bytes(
                &payments.call("decrypt", "orders", &decrypt).ok(),
                "plaintext"
            ),
            b"x"
        );
    }
    // 87,380 characters of Base64 do not fit into 64 KiB.
    encrypt_with_aad_of(&payments, 65_535).assert_error(501, "UnsupportedOperationException");
}

#[test]
fn an_empty_aad_is_the_same_as_a_missing_one() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    let encrypted = encrypt_with_aad_of(&payments, 0).ok();
    payments
        .call("decrypt", "orders", &decrypt_body(&encrypted))
        .ok();
}

#[test]
fn with_a_larger_body_limit_an_aad_works_up_to_the_maximum_of_the_framing() {
    let proxy = Proxy::start_with(|setup| setup.set("server.limits", "max_body", "\"256KiB\""));
    let payments = proxy.caller(&PAYMENTS);
    let encrypted = encrypt_with_aad_of(&payments, 65_535).ok();
    let aad = base64(vec![0x61; 65_535]);
    let decrypt = set(
        &decrypt_body(&encrypted),
        "additionalAuthenticatedData",
        aad,
    );
    payments.call("decrypt", "orders", &decrypt).ok();
    encrypt_with_aad_of(&payments, 65_536).assert_error(501, "UnsupportedOperationException");
    let too_long = set(
        &decrypt,
        "additionalAuthenticatedData",
        base64(vec![0x61; 65_536]),
    );
    let response = payments.call("decrypt", "orders", &too_long);
    response.assert_error(501, "UnsupportedOperationException");
}
