//! Well-formed responses with a wrong value, for each field of the XKS API that KMS depends on.

use serde_json::{Value, json};

use super::Faults;
use super::fake_proxy::{Act, json_response};
use super::honest::health;
use super::scene::Scene;
use crate::harness::wire::{base64, bytes, integrity_value};

type Change = fn(&Value, &mut Value);

/// Changes of the response to Encrypt. Except in the rows that change the CDIV itself, the CDIV is correct, so that it does not hide the error.
const WRONG_CIPHERTEXTS: [(&str, Change); 10] = [
    ("wrong CDIV", |_, answer| {
        answer["ciphertextDataIntegrityValue"] = zeros(32);
    }),
    ("no CDIV", |_, answer| {
        remove(answer, "ciphertextDataIntegrityValue")
    }),
    (
        "a ciphertext longer than the plaintext",
        |request, answer| {
            lengthen(request, answer, "ciphertext");
        },
    ),
    (
        "a ciphertext shorter than the plaintext",
        |request, answer| {
            set_field(request, answer, "ciphertext", zeros(3));
        },
    ),
    ("21 bytes of metadata", |request, answer| {
        set_field(request, answer, "ciphertextMetadata", zeros(21));
    }),
    ("an IV of 8 bytes", |request, answer| {
        set_field(request, answer, "initializationVector", zeros(8));
    }),
    ("an IV of 17 bytes", |request, answer| {
        set_field(request, answer, "initializationVector", zeros(17));
    }),
    ("a tag of 15 bytes", |request, answer| {
        set_field(request, answer, "authenticationTag", zeros(15));
    }),
    ("no tag", |_, answer| remove(answer, "authenticationTag")),
    ("no Base64", |_, answer| answer["ciphertext"] = json!("ä?")),
];

#[test]
fn an_encrypt_response_that_breaks_a_rule_is_invalid() {
    let (scene, mut faults) = (Scene::start(), Faults::default());
    for (what, change) in WRONG_CIPHERTEXTS {
        scene.fake.act(move |_| Act::Change(change));
        let came = scene.kms.encrypt(&scene.key);
        let right = matches!(&came, Err((name, message)) if name == "KMSInvalidStateException"
            && message.contains("cannot interpret the response"));
        faults.unless(right, || format!("{what}: {came:?}"));
        faults.unless(scene.fake.seen("encrypt").len() == 1, || {
            format!("{what}: request again")
        });
    }
    faults.none();
    scene.fake.act(|_| {
        Act::Change(|request, answer| set_field(request, answer, "initializationVector", zeros(16)))
    });
    assert!(
        scene.kms.encrypt(&scene.key).is_ok(),
        "an IV of 16 bytes is legal"
    );
    scene.fake.act(|_| {
        Act::Change(|request, answer| {
            remove(answer, "ciphertextMetadata");
            update_cdiv(request, answer);
        })
    });
    assert!(
        scene.kms.encrypt(&scene.key).is_ok(),
        "metadata may be absent"
    );
}

#[test]
fn a_wrong_plaintext_is_detected() {
    let (scene, mut faults) = (Scene::start(), Faults::default());
    let blob = scene.blob();
    let changes: [(&str, Change); 4] = [
        ("another plaintext", |_, answer| {
            answer["plaintext"] = zeros(40)
        }),
        ("a longer plaintext", |request, answer| {
            lengthen(request, answer, "plaintext")
        }),
        ("an empty plaintext", |_, answer| {
            answer["plaintext"] = json!("")
        }),
        ("no plaintext", |_, answer| remove(answer, "plaintext")),
    ];
    for (what, change) in changes {
        scene.fake.act(move |_| Act::Change(change));
        let came = scene.decrypt(&blob);
        let right = matches!(&came, Err((name, _)) if name == "KMSInvalidStateException");
        faults.unless(right, || format!("{what}: {came:?}"));
    }
    faults.none();
}

#[test]
fn an_external_key_that_kms_cannot_use_is_rejected() {
    let (scene, mut faults) = (Scene::start(), Faults::default());
    let changes: [(&str, Change, &str); 6] = [
        (
            "AES_128",
            |_, answer| answer["keySpec"] = json!("AES_128"),
            "AES_256",
        ),
        (
            "RSA_2048",
            |_, answer| answer["keySpec"] = json!("RSA_2048"),
            "AES_256",
        ),
        (
            "DISABLED",
            |_, answer| answer["keyStatus"] = json!("DISABLED"),
            "ENABLED",
        ),
        (
            "only ENCRYPT",
            |_, answer| answer["keyUsage"] = json!(["ENCRYPT"]),
            "ENCRYPT and DECRYPT",
        ),
        (
            "only DECRYPT",
            |_, answer| answer["keyUsage"] = json!(["DECRYPT"]),
            "ENCRYPT and DECRYPT",
        ),
        (
            "SIGN",
            |_, answer| answer["keyUsage"] = json!(["SIGN"]),
            "ENCRYPT and DECRYPT",
        ),
    ];
    for (what, change, reason) in changes {
        scene.fake.act(move |_| Act::Change(change));
        let came = scene.kms.call("CreateKey", &scene.key_body(&scene.store));
        let right = matches!(&came, Err((name, message))
            if name == "XksKeyInvalidConfigurationException" && message.contains(reason));
        faults.unless(right, || format!("{what}: {came:?}"));
    }
    scene.fake.act(|_| {
        Act::Change(|_, answer| answer["keyUsage"] = json!(["DECRYPT", "WRAP", "ENCRYPT", "SIGN"]))
    });
    scene.new_key(&scene.store);
    faults.none();
}

#[test]
fn a_fleet_is_usable_while_one_hsm_is_usable() {
    let scene = Scene::start();
    let connected = |fleet: Value| {
        scene.kms.disconnect(&scene.store);
        scene.fake.act(move |_| json_response(200, &fleet));
        let created = scene
            .kms
            .call("CreateCustomKeyStore", &scene.store_body("third.test"));
        if let Ok(created) = &created {
            scene.kms.ok("DeleteCustomKeyStore", created);
        }
        (
            scene.kms.connect(&scene.store),
            created.err().map(|(name, _)| name),
        )
    };
    let half = |one: &str, other: &str| {
        let mut fleet = health(one);
        fleet["ekmFleetDetails"][1]["healthStatus"] = json!(other);
        fleet
    };
    let fine = ("CONNECTED".to_owned(), None);
    assert_eq!(connected(half("ACTIVE", "UNAVAILABLE")), fine);
    assert_eq!(connected(half("UNAVAILABLE", "DEGRADED")), fine);
    assert_eq!(connected(half("DEGRADED", "DEGRADED")), fine);
    let (code, exception) = connected(health("UNAVAILABLE"));
    assert_eq!(code, "XKS_PROXY_NOT_REACHABLE");
    assert_eq!(
        exception.as_deref(),
        Some("XksProxyUriUnreachableException")
    );
}

/// Returns `count` zero bytes in Base64.
fn zeros(count: usize) -> Value {
    base64(vec![0; count]).into()
}

/// Removes a field.
fn remove(answer: &mut Value, field: &str) {
    answer.as_object_mut().unwrap().remove(field);
}

/// Makes a field one byte longer.
fn lengthen(request: &Value, answer: &mut Value, field: &str) {
    let mut bytes = bytes(answer, field);
    bytes.push(0);
    set_field(request, answer, field, base64(bytes).into());
}

/// Sets a field and updates the CDIV.
fn set_field(request: &Value, answer: &mut Value, field: &str, value: Value) {
    answer[field] = value;
    update_cdiv(request, answer);
}

/// Sets the correct CDIV.
fn update_cdiv(request: &Value, answer: &mut Value) {
    if answer["ciphertextDataIntegrityValue"].is_string() {
        let aad = bytes(request, "additionalAuthenticatedData");
        answer["ciphertextDataIntegrityValue"] = integrity_value(&aad, answer).into();
    }
}
