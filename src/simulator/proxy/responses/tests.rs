//! Each rule for each response.

use super::*;
use serde_json::{Value, json};

fn answer(aad: &[u8], length: usize) -> Value {
    let (iv, ciphertext) = ([1; 12], vec![5; length]);
    let value = integrity_value(
        &Aad::new(aad).unwrap(),
        &CiphertextMetadata::new(&[1, 0, 0, 0, 1]).unwrap(),
        &iv,
        &ciphertext,
        &[3; 16],
    );
    json!({
        "ciphertext": STANDARD.encode(ciphertext),
        "initializationVector": STANDARD.encode(iv),
        "authenticationTag": STANDARD.encode([3; 16]),
        "ciphertextMetadata": STANDARD.encode([1, 0, 0, 0, 1]),
        "ciphertextDataIntegrityValue": STANDARD.encode(value),
    })
}

fn checked(answer: &Value) -> Result<(), ProxyError> {
    let aad = Aad::new(b"aad").unwrap();
    encrypted(answer.to_string().as_bytes(), 10, &aad).map(drop)
}

#[test]
fn a_valid_response_to_encrypt_is_accepted() {
    assert_eq!(checked(&answer(b"aad", 10)), Ok(()));
    let mut more = answer(b"aad", 10);
    more["something"] = json!("new");
    assert_eq!(checked(&more), Ok(()));
}

#[test]
fn each_violation_in_a_response_to_encrypt_is_rejected() {
    for (field, value) in [
        ("ciphertext", json!(null)),
        ("ciphertext", json!(7)),
        ("ciphertext", json!("BQUFBQUFBQUFBQ")),
        ("ciphertext", json!(STANDARD.encode([6; 10]))),
        ("initializationVector", json!(STANDARD.encode([1; 8]))),
        ("initializationVector", json!(null)),
        ("authenticationTag", json!(STANDARD.encode([3; 12]))),
        ("ciphertextMetadata", json!(STANDARD.encode([0; 21]))),
        ("ciphertextMetadata", json!("")),
        ("ciphertextDataIntegrityValue", json!(null)),
        (
            "ciphertextDataIntegrityValue",
            json!(STANDARD.encode([0; 32])),
        ),
    ] {
        let mut bad = answer(b"aad", 10);
        bad[field] = value;
        assert_eq!(checked(&bad), Err(INVALID), "{field}");
    }
    assert_eq!(checked(&answer(b"other", 10)), Err(INVALID));
    assert_eq!(
        checked(&answer(b"aad", 11)),
        Err(INVALID),
        "longer than the plaintext"
    );
    assert_eq!(checked(&json!([])), Err(INVALID));
    assert_eq!(
        checked(&json!({"errorName": "InternalException"})),
        Err(INVALID)
    );
}

#[test]
fn errors_are_recognized_by_name() {
    let error = |status, body: &str| accepted(status, body.as_bytes()).unwrap_err();
    assert_eq!(
        error(503, r#"{"errorName":"DependencyTimeoutException"}"#),
        ProxyError::Named(ErrorName::DependencyTimeout)
    );
    for (status, body) in [
        (500, "<html>"),
        (502, ""),
        (400, "{\"errorName\":\"Strange\"}"),
        (302, ""),
        (204, ""),
        (400, "{\"errorName\":"),
    ] {
        assert_eq!(error(status, body), INVALID, "{status} {body}");
    }
}

#[test]
fn plaintexts_are_as_long_as_their_ciphertexts() {
    let long = |body: &str| decrypted(body.as_bytes(), 2).map(|p| p.len());
    assert_eq!(long(r#"{"plaintext":"aGk="}"#), Ok(2));
    for bad in [
        r#"{"plaintext":"aGkh"}"#,
        r#"{"plaintext":"aGk"}"#,
        "{}",
        "<p>",
        "",
    ] {
        assert_eq!(long(bad), Err(INVALID), "{bad}");
    }
}

#[test]
fn kms_uses_only_enabled_aes_256_keys() {
    let usable = |spec: &str, usage: &[&str], status: &str| {
        let body = json!({"keySpec": spec, "keyUsage": usage, "keyStatus": status});
        key_metadata(body.to_string().as_bytes())
    };
    let both = ["DECRYPT", "ENCRYPT", "SIGN"];
    assert_eq!(usable("AES_256", &both, "ENABLED"), Ok(Ok(())));
    assert!(usable("AES_128", &both, "ENABLED").unwrap().is_err());
    assert!(usable("AES_256", &["ENCRYPT"], "ENABLED").unwrap().is_err());
    assert!(usable("AES_256", &["DECRYPT"], "ENABLED").unwrap().is_err());
    assert!(usable("AES_256", &both, "DISABLED").unwrap().is_err());
    assert_eq!(usable("AES_256", &both, "MAYBE"), Err(INVALID));
    assert_eq!(key_metadata(b"{\"keySpec\":\"AES_256\"}"), Err(INVALID));
}

#[test]
fn health_counts_the_managers() {
    let managers = |states: &[&str]| {
        let details: Vec<_> = states
            .iter()
            .map(|s| json!({"id": "a", "model": "m", "healthStatus": s}))
            .collect();
        json!({"xksProxyFleetSize": 1, "xksProxyVendor": "v", "xksProxyModel": "m", "ekmVendor": "e", "ekmFleetDetails": details})
    };
    let read = |body: &Value| health(body.to_string().as_bytes());
    let two = read(&managers(&["ACTIVE", "UNAVAILABLE"])).unwrap();
    assert_eq!(
        two,
        HealthCounts {
            active: 1,
            degraded: 0,
            unavailable: 1
        }
    );
    assert!(two.is_serving() && !read(&managers(&["UNAVAILABLE"])).unwrap().is_serving());
    assert!(read(&managers(&["DEGRADED"])).unwrap().is_serving());
    for bad in [
        managers(&[]),
        managers(&["WELL"]),
        managers(&["ACTIVE"; 11]),
        json!({}),
    ] {
        assert_eq!(read(&bad), Err(INVALID));
    }
    let mut none = managers(&["ACTIVE"]);
    none["xksProxyFleetSize"] = json!(0);
    assert_eq!(read(&none), Err(INVALID));
}
