//! Answers that look right and are not: each field of the XKS API that KMS depends on, changed.

use serde_json::{Value, json};

use super::Faults;
use super::fake_proxy::{Act, json_of};
use super::honest::health;
use super::scene::Scene;
use crate::harness::wire::{base64, bytes, integrity_value};

type Change = fn(&Value, &mut Value);

/// Changes that only Encrypt's answer can have. The CDIV is right where it is not the fault itself: nothing else may hide behind it.
const WRONG_CIPHERTEXTS: [(&str, Change); 10] = [
    ("wrong CDIV", |_, answer| {
        answer["ciphertextDataIntegrityValue"] = zeros(32);
    }),
    ("no CDIV", |_, answer| {
        remove(answer, "ciphertextDataIntegrityValue")
    }),
    ("a ciphertext longer than the plaintext", |asked, answer| {
        longer(asked, answer, "ciphertext");
    }),
    (
        "a ciphertext shorter than the plaintext",
        |asked, answer| {
            put(asked, answer, "ciphertext", zeros(3));
        },
    ),
    ("21 bytes of metadata", |asked, answer| {
        put(asked, answer, "ciphertextMetadata", zeros(21));
    }),
    ("an IV of 8 bytes", |asked, answer| {
        put(asked, answer, "initializationVector", zeros(8));
    }),
    ("an IV of 17 bytes", |asked, answer| {
        put(asked, answer, "initializationVector", zeros(17));
    }),
    ("a tag of 15 bytes", |asked, answer| {
        put(asked, answer, "authenticationTag", zeros(15));
    }),
    ("no tag", |_, answer| remove(answer, "authenticationTag")),
    ("no Base64", |_, answer| answer["ciphertext"] = json!("ä?")),
];

#[test]
fn a_ciphertext_that_breaks_a_rule_is_an_invalid_response() {
    let (scene, mut faults) = (Scene::start(), Faults::default());
    for (what, change) in WRONG_CIPHERTEXTS {
        scene.fake.act(move |_| Act::Change(change));
        let came = scene.kms.encrypt(&scene.key);
        let right = matches!(&came, Err((name, message)) if name == "KMSInvalidStateException"
            && message.contains("cannot interpret the response"));
        faults.unless(right, || format!("{what}: {came:?}"));
        faults.unless(scene.fake.seen("encrypt").len() == 1, || {
            format!("{what}: asked again")
        });
    }
    faults.none();
    scene.fake.act(|_| {
        Act::Change(|asked, answer| put(asked, answer, "initializationVector", zeros(16)))
    });
    assert!(
        scene.kms.encrypt(&scene.key).is_ok(),
        "an IV of 16 bytes is legal"
    );
    scene.fake.act(|_| {
        Act::Change(|asked, answer| {
            remove(answer, "ciphertextMetadata");
            renew_cdiv(asked, answer);
        })
    });
    assert!(
        scene.kms.encrypt(&scene.key).is_ok(),
        "metadata may be absent"
    );
}

#[test]
fn another_plaintext_than_kms_had_encrypted_is_noticed() {
    let (scene, mut faults) = (Scene::start(), Faults::default());
    let blob = scene.blob();
    let changes: [(&str, Change); 4] = [
        ("another plaintext", |_, answer| {
            answer["plaintext"] = zeros(40)
        }),
        ("a longer plaintext", |asked, answer| {
            longer(asked, answer, "plaintext")
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
fn an_external_key_that_kms_cannot_use_is_refused() {
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
fn a_fleet_counts_while_one_of_it_lives() {
    let scene = Scene::start();
    let connected = |fleet: Value| {
        scene.kms.disconnect(&scene.store);
        scene.fake.act(move |_| json_of(200, &fleet));
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

/// So many zeros in Base64.
fn zeros(count: usize) -> Value {
    base64(vec![0; count]).into()
}

/// Takes a field out.
fn remove(answer: &mut Value, field: &str) {
    answer.as_object_mut().unwrap().remove(field);
}

/// One byte more than there was.
fn longer(asked: &Value, answer: &mut Value, field: &str) {
    let mut longer = bytes(answer, field);
    longer.push(0);
    put(asked, answer, field, base64(longer).into());
}

/// Sets a field, and the CDIV to what is right then.
fn put(asked: &Value, answer: &mut Value, field: &str, value: Value) {
    answer[field] = value;
    renew_cdiv(asked, answer);
}

/// Makes the CDIV right.
fn renew_cdiv(asked: &Value, answer: &mut Value) {
    if answer["ciphertextDataIntegrityValue"].is_string() {
        let aad = bytes(asked, "additionalAuthenticatedData");
        answer["ciphertextDataIntegrityValue"] = integrity_value(&aad, answer).into();
    }
}
