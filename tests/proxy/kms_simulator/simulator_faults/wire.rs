//! The requests and client certificates of the simulator, and its events and metrics about a proxy.

use serde_json::{Value, json};

use super::fake_proxy::error_response;
use super::scene::{ACCOUNT, NAMES, REGION, Scene};
use crate::harness::served::tls_server;
use crate::harness::wire::{base64, bytes};

/// Returns the `requestMetadata` of the only request for an operation.
#[track_caller]
fn metadata(scene: &Scene, xks: &str) -> Value {
    let seen = scene.fake.seen(xks);
    assert_eq!(seen.len(), 1, "{xks}: {seen:?}");
    seen[0].body["requestMetadata"].clone()
}

fn context() -> Value {
    json!({"project": "nile", "department": "marketing"})
}

#[test]
fn request_metadata_names_the_caller_and_the_operation() {
    let scene = Scene::start();
    let arn = format!("arn:aws:kms:{REGION}:{ACCOUNT}:key/{}", scene.key);
    let blob = scene.blob();
    let key = json!({"KeyId": scene.key});
    let with = |more: Value| {
        let mut body = key.clone();
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        body
    };
    for (operation, xks, body) in [
        ("Encrypt", "encrypt", with(json!({"Plaintext": "YQ=="}))),
        ("Decrypt", "decrypt", json!({ "CiphertextBlob": blob })),
        (
            "GenerateDataKey",
            "encrypt",
            with(json!({"KeySpec": "AES_256"})),
        ),
        (
            "GenerateDataKeyWithoutPlaintext",
            "encrypt",
            with(json!({"NumberOfBytes": 17})),
        ),
    ] {
        scene.fake.be_honest();
        scene.kms.ok(operation, &body);
        let sent = metadata(&scene, xks);
        assert_eq!(sent["kmsOperation"], operation);
        assert_eq!(sent["kmsKeyArn"], arn.as_str());
        assert!(!sent["kmsRequestId"].as_str().unwrap().is_empty());
        let principal = sent["awsPrincipalArn"].as_str().unwrap();
        assert!(
            principal.starts_with("arn:aws:") && principal.contains(ACCOUNT),
            "{principal}"
        );
    }
    scene.fake.be_honest();
    let again = json!({"CiphertextBlob": blob, "DestinationKeyId": scene.key});
    scene.kms.ok("ReEncrypt", &again);
    let (decrypt, encrypt) = (metadata(&scene, "decrypt"), metadata(&scene, "encrypt"));
    assert_eq!(
        (&decrypt["kmsOperation"], &encrypt["kmsOperation"]),
        (&json!("ReEncrypt"), &json!("ReEncrypt"))
    );
    // All requests of one KMS call have the same id, as in CloudTrail.
    assert_eq!(decrypt["kmsRequestId"], encrypt["kmsRequestId"]);
}

#[test]
fn management_operations_have_request_metadata() {
    let scene = Scene::start();
    scene.fake.be_honest();
    scene.new_store("second.test");
    let sent = metadata(&scene, "health");
    assert_eq!(sent["kmsOperation"], "CreateCustomKeyStore");
    assert!(!sent["kmsRequestId"].as_str().unwrap().is_empty());
    scene.fake.be_honest();
    let update = json!({"CustomKeyStoreId": scene.store, "XksProxyUriPath": "/new/kms/xks/v1"});
    scene.kms.ok("UpdateCustomKeyStore", &update);
    assert_eq!(
        metadata(&scene, "health")["kmsOperation"],
        "UpdateCustomKeyStore"
    );
    assert_eq!(
        scene.fake.seen("health")[0].request.target,
        "/new/kms/xks/v1/health"
    );
    scene.kms.disconnect(&scene.store);
    scene.fake.be_honest();
    assert_eq!(scene.kms.connect(&scene.store), "CONNECTED");
    assert_eq!(
        metadata(&scene, "health")["kmsOperation"],
        "ConnectCustomKeyStore"
    );
    scene.fake.be_honest();
    scene.new_key(&scene.store);
    let sent = metadata(&scene, "metadata");
    assert_eq!(sent["kmsOperation"], "CreateKey");
    assert!(sent["awsPrincipalArn"].as_str().unwrap().contains(ACCOUNT));
}

#[test]
fn requests_have_the_form_of_kms() {
    let scene = Scene::start();
    scene.fake.be_honest();
    let body = json!({"KeyId": scene.key, "Plaintext": base64(b"attack at dawn"), "EncryptionContext": context()});
    let encrypted = scene.kms.ok("Encrypt", &body);
    let seen = scene.fake.seen("encrypt").remove(0);
    assert_eq!(seen.request.method, "POST");
    // XksProxyUriEndpoint has no port, so the Host header has none.
    assert_eq!(seen.request.value("host"), "proxy.test");
    assert!(
        seen.request
            .value("content-type")
            .starts_with("application/json")
    );
    let signed = seen.request.value("authorization");
    assert!(
        signed.starts_with("AWS4-HMAC-SHA256 Credential=XKSFAKEKEYAAAAAAAAAA/"),
        "{signed}"
    );
    assert!(
        signed.contains(&format!("/{REGION}/kms-xks-proxy/aws4_request")),
        "{signed}"
    );
    assert_eq!(seen.body["encryptionAlgorithm"], "AES_GCM");
    assert_eq!(
        seen.body["ciphertextDataIntegrityValueAlgorithm"],
        "SHA_256"
    );
    // KMS encrypts first, so the proxy does not receive the plaintext of the caller.
    let sent = bytes(&seen.body, "plaintext");
    assert!(sent.len() > 14 && !sent.windows(14).any(|part| part == b"attack at dawn"));
    assert!(!bytes(&seen.body, "additionalAuthenticatedData").is_empty());

    let blob =
        json!({"CiphertextBlob": encrypted["CiphertextBlob"], "EncryptionContext": context()});
    scene.kms.ok("Decrypt", &blob);
    let asked = scene.fake.seen("decrypt").remove(0).body;
    assert_eq!(
        asked["additionalAuthenticatedData"],
        seen.body["additionalAuthenticatedData"]
    );
    assert_eq!(bytes(&asked, "ciphertextMetadata"), b"version=1");
    let wrong = json!({"CiphertextBlob": encrypted["CiphertextBlob"], "EncryptionContext": {"project": "amazon"}});
    let (name, message) = scene.kms.call("Decrypt", &wrong).unwrap_err();
    assert_eq!(name, "KMSInvalidStateException", "{message}");
    assert!(
        message.contains("corrupted, missing, or otherwise invalid"),
        "{message}"
    );
}

#[test]
fn the_client_certificate_names_kms_of_the_region() {
    let scene = Scene::start_with(|options, directory| {
        options
            .with("--identity", directory.join("identity").display())
            .with("--client-certificate", "client-auth")
            .with("--timeout", "10s")
    });
    let pem = std::fs::read(scene.directory().join("identity/ca.pem")).unwrap();
    let authority = rustls::pki_types::pem::PemObject::from_pem_slice(&pem).unwrap();
    let identity = scene.authority.server_for(&NAMES);
    scene.fake.show(tls_server(&identity, Some(authority)));
    scene.fake.be_honest();
    scene.kms.encrypt(&scene.key).unwrap();
    let sent = |number: usize| scene.fake.seen("encrypt")[number].client.clone();
    assert_eq!(sent(0).as_deref(), Some("cks.kms.eu-west-1.amazonaws.com"));
    let elsewhere = scene.simulator.caller(ACCOUNT, "us-east-2");
    let body = scene.store_body("second.test");
    elsewhere.ok("CreateCustomKeyStore", &body);
    let health = scene.fake.seen("health").remove(0);
    assert_eq!(
        health.client.as_deref(),
        Some("cks.kms.us-east-2.amazonaws.com")
    );
    assert!(
        health
            .request
            .value("authorization")
            .contains("/us-east-2/kms-xks-proxy/")
    );
}

#[test]
fn a_proxy_with_another_client_ca_is_unreachable() {
    let scene = Scene::start_with(|options, directory| {
        options
            .with("--identity", directory.join("identity").display())
            .with("--client-certificate", "client-auth")
            .with("--timeout", "10s")
    });
    let identity = scene.authority.server_for(&NAMES);
    let stranger = crate::harness::pki::Authority::new("Another CA").der();
    scene.fake.show(tls_server(&identity, Some(stranger)));
    scene.kms.disconnect(&scene.store);
    let code = scene.kms.connect(&scene.store);
    let right = [
        "XKS_PROXY_INVALID_TLS_CONFIGURATION",
        "XKS_PROXY_NOT_REACHABLE",
    ];
    assert!(right.contains(&code.as_str()), "{code}");
}

/// Returns a scene after three Encrypt calls, one successful, one throttled and one denied, and their events.
fn three_encrypts() -> (Scene, Vec<Value>) {
    let scene = Scene::start();
    scene.fake.be_honest();
    scene.kms.encrypt(&scene.key).unwrap();
    scene
        .fake
        .act(|_| error_response(429, "ThrottlingException"));
    scene.kms.encrypt(&scene.key).unwrap_err();
    scene
        .fake
        .act(|_| error_response(403, "AccessDeniedException"));
    scene.kms.encrypt(&scene.key).unwrap_err();
    let calls = scene
        .simulator
        .calls(3, |call| call["kms_operation"] == "Encrypt");
    (scene, calls)
}

#[test]
fn events_show_each_call_of_the_proxy() {
    let (scene, calls) = three_encrypts();
    let outcomes: Vec<&str> = calls
        .iter()
        .map(|call| call["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(
        outcomes,
        ["ok", "ThrottlingException", "AccessDeniedException"]
    );
    let call = &calls[1];
    assert_eq!(call["account"], ACCOUNT);
    assert_eq!(call["region"], REGION);
    assert_eq!(call["custom_key_store_id"], scene.store.as_str());
    assert_eq!(
        (&call["kms_operation"], &call["xks_operation"]),
        (&json!("Encrypt"), &json!("Encrypt"))
    );
    assert_eq!(
        (&call["status"], &call["attempt"]),
        (&json!(429), &json!(1))
    );
    assert!(
        call["took_ms"].as_f64().is_some_and(|took| took > 0.0),
        "{call}"
    );
    assert!(
        call["time"].is_string() && call["new_connection"].is_boolean(),
        "{call}"
    );
    let sent = scene.fake.seen("encrypt")[0].body["requestMetadata"]["kmsRequestId"].clone();
    assert_eq!(calls[2]["kms_request_id"], sent);
}

#[test]
fn metrics_count_the_calls_of_the_proxy() {
    let (scene, _calls) = three_encrypts();
    let store = scene.store.as_str();
    let errors = |error: &str, retryable: &str| {
        let labels = [("store", store), ("error", error), ("retryable", retryable)];
        scene.simulator.metric("xks_proxy_errors_total", &labels)
    };
    assert_eq!(errors("ThrottlingException", "true"), 1.0);
    assert_eq!(errors("AccessDeniedException", "false"), 1.0);
    assert_eq!(errors("AccessDeniedException", "true"), 0.0);
    let labels = [("store", store)];
    assert!(
        scene
            .simulator
            .metric("xks_proxy_latency_seconds_count", &labels)
            >= 3.0
    );
    let days = scene
        .simulator
        .metric("xks_proxy_certificate_days_to_expire", &labels);
    assert!(days > 300.0, "{days}");
    let active = [("store", store), ("state", "ACTIVE")];
    assert_eq!(
        scene
            .simulator
            .metric("xks_external_key_manager_states", &active),
        2.0
    );
}

#[test]
fn events_and_metrics_have_no_secrets() {
    let scene = Scene::start();
    let blob = scene.blob();
    scene.decrypt(&blob).unwrap();
    scene.fake.act(|_| error_response(500, "InternalException"));
    scene.decrypt(&blob).unwrap_err();
    let log = scene.simulator.daemon.log().join("\n");
    for secret in [
        "Mn6bVc4xZl2kJh0gFd8sAp9oIu7yTr5eWq3LkJhGfDs=",
        &base64(b"attack at dawn"),
        "attack at dawn",
        blob.as_str().unwrap(),
    ] {
        assert!(!log.contains(secret), "{log}");
    }
}
