//! The four operations as KMS uses them, compared with section 5 of the contract.

use serde_json::{Value, json};

use crate::harness::dialect::Spoken;
use crate::harness::wire::{
    base64, bytes, decrypt_body, encrypt_body, integrity_value, plain_body, request_metadata, set,
};
use crate::harness::{CLOSED, PAYMENTS, PAYMENTS_NEXT, Proxy, RETAIL, ROOT};

#[test]
fn a_ciphertext_decrypts_to_its_plaintext() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    let encrypted = payments.encrypt("orders", b"already wrapped by KMS");
    assert_eq!(
        bytes(&encrypted, "ciphertext").len(),
        22,
        "as long as the plaintext"
    );
    assert_eq!(
        bytes(&encrypted, "initializationVector").len(),
        Spoken::under_test().iv_length
    );
    assert_eq!(bytes(&encrypted, "authenticationTag").len(), 16);
    assert_eq!(
        encrypted["ciphertextDataIntegrityValue"],
        Value::Null,
        "the request does not require it"
    );
    let decrypted = payments
        .call("decrypt", "orders", &decrypt_body(&encrypted))
        .ok();
    assert_eq!(
        decrypted,
        json!({ "plaintext": base64("already wrapped by KMS") })
    );
}

#[test]
fn the_gcm_profile_of_the_token_is_used() {
    let proxy = Proxy::start();
    let line = proxy
        .daemon
        .wait_for("the profile", |line| line["message"] == "the HSM is usable");
    assert_eq!(line["profile"], Spoken::under_test().profile);
}

#[test]
fn the_aad_is_bound_and_the_cdiv_covers_the_response() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    let aad = b"project=nile,department=marketing";
    let body = set(
        &encrypt_body(b"payload"),
        "additionalAuthenticatedData",
        base64(aad),
    );
    let body = set(&body, "ciphertextDataIntegrityValueAlgorithm", "SHA_256");
    let encrypted = payments.call("encrypt", "ledger", &body).ok();
    assert_eq!(
        encrypted["ciphertextDataIntegrityValue"],
        integrity_value(aad, &encrypted)
    );
    let with_aad = set(
        &decrypt_body(&encrypted),
        "additionalAuthenticatedData",
        base64(aad),
    );
    let decrypted = payments.call("decrypt", "ledger", &with_aad).ok();
    assert_eq!(decrypted["plaintext"], base64("payload"));
    let without = payments.call("decrypt", "ledger", &decrypt_body(&encrypted));
    without.assert_error(400, "InvalidCiphertextException");
}

#[test]
fn ciphertext_metadata_is_a_format_byte_and_the_key_version() {
    let proxy = Proxy::start();
    let encrypted = proxy.caller(&PAYMENTS).encrypt("orders", b"x");
    assert_eq!(bytes(&encrypted, "ciphertextMetadata"), [1, 0, 0, 0, 1]);
}

#[test]
fn no_iv_is_repeated() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    let mut connection = proxy.connect();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..100 {
        let body = encrypt_body(b"the same plaintext").to_string();
        let encrypted = connection
            .exchange(&payments.request("encrypt", "orders", body))
            .ok();
        assert!(
            seen.insert(bytes(&encrypted, "initializationVector")),
            "an IV was used twice"
        );
    }
}

#[test]
fn the_required_lengths_of_plaintexts_work() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    for length in [0, 1, 15, 16, 17, 4_096, 4_300] {
        let plaintext = vec![0xa5; length];
        let encrypted = payments.encrypt("orders", &plaintext);
        assert_eq!(bytes(&encrypted, "ciphertext").len(), length);
        let decrypted = payments
            .call("decrypt", "orders", &decrypt_body(&encrypted))
            .ok();
        assert_eq!(bytes(&decrypted, "plaintext"), plaintext, "{length} bytes");
    }
}

#[test]
fn metadata_contains_type_usage_and_state_of_the_key() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    let both = json!(["ENCRYPT", "DECRYPT"]);
    for (key, spec, usage, status) in [
        ("orders", "AES_256", &both, "ENABLED"),
        ("ledger", "AES_256", &both, "ENABLED"),
        ("by-id", "AES_256", &both, "ENABLED"),
        ("aes128", "AES_128", &both, "ENABLED"),
        ("aes192", "AES_192", &both, "ENABLED"),
        ("encrypt-only", "AES_256", &json!(["ENCRYPT"]), "ENABLED"),
        ("decrypt-only", "AES_256", &json!(["DECRYPT"]), "ENABLED"),
        ("neither", "AES_256", &json!([]), "ENABLED"),
        ("switched-off", "AES_256", &both, "DISABLED"),
    ] {
        let metadata = payments.call("metadata", key, &plain_body("metadata")).ok();
        let expected = json!({ "keySpec": spec, "keyUsage": usage, "keyStatus": status });
        assert_eq!(metadata, expected, "{key}");
    }
}

#[test]
fn health_contains_vendor_model_and_each_hsm() {
    let proxy = Proxy::start();
    let health = proxy.caller(&PAYMENTS).health();
    assert_eq!(health["xksProxyFleetSize"], 1);
    for field in ["xksProxyVendor", "xksProxyModel", "ekmVendor"] {
        assert!(
            !health[field].as_str().unwrap_or_default().is_empty(),
            "{field} in {health}"
        );
    }
    let fleet = health["ekmFleetDetails"].as_array().unwrap();
    assert_eq!(fleet.len(), 1, "{health}");
    assert_eq!(fleet[0]["healthStatus"], "ACTIVE");
    assert!(
        fleet[0]["id"].is_string() && fleet[0]["model"].is_string(),
        "{health}"
    );
}

#[test]
fn both_credentials_of_a_store_are_served() {
    let proxy = Proxy::start();
    let encrypted = proxy.caller(&PAYMENTS).encrypt("orders", b"rotation");
    let next = proxy.caller(&PAYMENTS_NEXT);
    let decrypted = next
        .call("decrypt", "orders", &decrypt_body(&encrypted))
        .ok();
    assert_eq!(bytes(&decrypted, "plaintext"), b"rotation");
}

#[test]
fn each_path_prefix_selects_its_key_store() {
    let proxy = Proxy::start();
    proxy
        .caller(&RETAIL)
        .encrypt("stock", b"deep prefix, other region");
    let encrypted = proxy.caller(&ROOT).encrypt("orders", b"no prefix");
    // The same id in another key store is a different key.
    let elsewhere = proxy
        .caller(&PAYMENTS)
        .call("decrypt", "orders", &decrypt_body(&encrypted));
    elsewhere.assert_error(400, "InvalidCiphertextException");
    let foreign = proxy
        .caller(&RETAIL)
        .call("metadata", "orders", &plain_body("metadata"));
    foreign.assert_error(404, "KeyNotFoundException");
}

#[test]
fn a_disabled_store_serves_only_metadata() {
    let proxy = Proxy::start();
    let closed = proxy.caller(&CLOSED);
    let encrypt = closed.call("encrypt", "stock-2", &encrypt_body(b"x"));
    encrypt.assert_error(400, "InvalidStateException");
    let decrypt = decrypt_body(&proxy.caller(&RETAIL).encrypt("stock", b"x"));
    closed
        .call("decrypt", "stock-2", &decrypt)
        .assert_error(400, "InvalidStateException");
    let health = closed.call("health", "", &plain_body("health"));
    health.assert_error(400, "InvalidStateException");
    let metadata = closed
        .call("metadata", "stock-2", &plain_body("metadata"))
        .ok();
    assert_eq!(metadata["keyStatus"], "DISABLED");
}

#[test]
fn a_disabled_key_neither_encrypts_nor_decrypts() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    let encrypt = payments.call("encrypt", "switched-off", &encrypt_body(b"x"));
    encrypt.assert_error(400, "InvalidStateException");
    let decrypt = decrypt_body(&payments.encrypt("orders", b"x"));
    payments
        .call("decrypt", "switched-off", &decrypt)
        .assert_error(400, "InvalidStateException");
}

#[test]
fn unknown_fields_and_values_are_accepted() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    let mut body = encrypt_body(b"x");
    body["requestMetadata"]["kmsOperation"] = json!("AnOperationOfTheFuture");
    body["requestMetadata"]["kmsViaService"] = json!("ebs");
    body["requestMetadata"]["awsSourceVpc"] = json!("vpc-1234");
    body["requestMetadata"]["awsSourceVpce"] = json!("vpce-5678");
    body["requestMetadata"]["awsPrincipalArn"] =
        json!(format!("arn:aws:iam::1:role/{}", "r".repeat(2_000)));
    body["requestMetadata"]["aFieldOfTheFuture"] = json!({ "nested": [1, null, "x"] });
    body["anotherOne"] = json!(["anything", { "at": "all" }]);
    payments.call("encrypt", "orders", &body).ok();
    let line = proxy.access_line(&body);
    assert_eq!(line["kms_via_service"], "ebs");
    assert!(
        line["request_metadata_other"]
            .as_str()
            .unwrap()
            .contains("aFieldOfTheFuture"),
        "{line}"
    );
}

#[test]
fn null_in_an_optional_field_means_that_it_is_missing() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    let mut body = encrypt_body(b"x");
    for field in [
        "additionalAuthenticatedData",
        "ciphertextDataIntegrityValueAlgorithm",
    ] {
        body[field] = Value::Null;
    }
    for field in ["kmsViaService", "awsSourceVpc", "awsSourceVpce"] {
        body["requestMetadata"][field] = Value::Null;
    }
    let encrypted = payments.call("encrypt", "orders", &body).ok();
    let decrypt = set(
        &decrypt_body(&encrypted),
        "additionalAuthenticatedData",
        Value::Null,
    );
    payments.call("decrypt", "orders", &decrypt).ok();
    let mut metadata = json!({ "requestMetadata": request_metadata("metadata") });
    metadata["requestMetadata"]["kmsKeyArn"] = Value::Null;
    payments.call("metadata", "orders", &metadata).ok();
}
