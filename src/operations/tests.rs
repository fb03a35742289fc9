//! The operations with a fake HSM.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::clock::Deadline;
use crate::connections::ClientCertificate;
use crate::ekm::fake::{FakeKeyManager, tenant};
use crate::ekm::{KeyManagerFault, KeySelector, KeyUsageFlags};
use crate::fleet::{Fleet, FleetMetrics};
use crate::keystore::{CredentialUse, Key, KeySettings, KeyStore, State};
use crate::metrics::Metrics;
use crate::policy::{Action, Policy, PolicyMetrics, PolicyMode, PolicySource, Transport};
use crate::sigv4::Credentials;
use crate::xks::{
    DecryptRequest, EncryptRequest, EncryptResponse, ExternalKeyId, FaultKind, PathPrefix,
    RequestMetadata,
};

const BOTH: KeyUsageFlags = KeyUsageFlags {
    encrypt: true,
    decrypt: true,
    sign: false,
    verify: false,
    wrap: false,
    unwrap: false,
    derive: false,
};

struct Scene {
    device: Arc<FakeKeyManager>,
    store: KeyStore,
    metadata: RequestMetadata,
    policy: Option<Authorization>,
}

/// Returns an HSM with the keys "k", "off" and "small" for both operations, "e" to encrypt only and "d" to decrypt only.
fn device() -> Arc<FakeKeyManager> {
    let device = FakeKeyManager::named("hsm");
    let only_encrypt = KeyUsageFlags {
        decrypt: false,
        ..BOTH
    };
    let only_decrypt = KeyUsageFlags {
        encrypt: false,
        ..BOTH
    };
    for (label, bits, usage) in [
        ("k", 256, BOTH),
        ("off", 256, BOTH),
        ("small", 128, BOTH),
        ("e", 256, only_encrypt),
        ("d", 256, only_decrypt),
    ] {
        device.add_key(label, bits, usage);
    }
    device
}

/// Returns an external key whose id is its label. The key "off" is disabled.
fn key(name: &str) -> (ExternalKeyId, Arc<Key>) {
    let id = ExternalKeyId::parse(name).unwrap();
    let state = if name == "off" {
        State::Disabled
    } else {
        State::Enabled
    };
    let settings = KeySettings::single(id.clone(), state, KeySelector::Label(name.into()));
    (id, Arc::new(Key::new(&settings, |_| Arc::default())))
}

fn scene() -> Scene {
    let device = device();
    let metrics = FleetMetrics::declare(&Metrics::default()).unwrap();
    let store = KeyStore {
        hsm_gauges: crate::keystore::StoreHsmGauges::default(),
        name: "store".into(),
        prefix: PathPrefix::parse("").unwrap(),
        region: "eu-west-1".into(),
        state: State::Enabled,
        credentials: Credentials::default(),
        credential_use: CredentialUse::default(),
        keys: HashMap::from(["k", "off", "small", "e", "d", "gone"].map(key)),
        quota: None,
        legacy: None,
        tenant: tenant(),
        vpc_endpoints: Default::default(),
        in_flight: Arc::default(),
        fleet: Fleet::new(vec![device.clone()], Duration::from_millis(80), metrics),
    };
    Scene {
        device,
        store,
        metadata: RequestMetadata::default(),
        policy: None,
    }
}

impl Scene {
    async fn encrypt(&self, key: &str, cdiv: bool) -> Result<EncryptResponse, FaultKind> {
        let id = ExternalKeyId::parse(key).unwrap();
        let mut body = body();
        body["plaintext"] = json!("SGVsbG8=");
        if cdiv {
            body["ciphertextDataIntegrityValueAlgorithm"] = json!("SHA_256");
        }
        let request = EncryptRequest::parse(body.to_string().as_bytes()).unwrap();
        encrypt(self.call(&id), request)
            .await
            .map(|a| a.value)
            .map_err(|f| f.kind)
    }

    async fn decrypt(
        &self,
        key: &str,
        from: &EncryptResponse,
        metadata: Option<&str>,
    ) -> Result<Vec<u8>, FaultKind> {
        let id = ExternalKeyId::parse(key).unwrap();
        let mut body = body();
        let encrypted: serde_json::Value = serde_json::from_slice(&from.body()).unwrap();
        for field in [
            "ciphertext",
            "initializationVector",
            "authenticationTag",
            "ciphertextMetadata",
        ] {
            body[field] = encrypted[field].clone();
        }
        if let Some(metadata) = metadata {
            body["ciphertextMetadata"] = json!(metadata);
        }
        let request = DecryptRequest::parse(body.to_string().as_bytes()).unwrap();
        let answer = decrypt(self.call(&id), request).await.map_err(|f| f.kind)?;
        Ok(answer.value.plaintext.expose().to_vec())
    }

    async fn metadata(&self, key: &str) -> Result<String, FaultKind> {
        let id = ExternalKeyId::parse(key).unwrap();
        let answer = key_metadata(self.call(&id)).await.map_err(|f| f.kind)?;
        Ok(String::from_utf8(answer.value.body()).unwrap())
    }

    fn call<'a>(&'a self, key_id: &'a ExternalKeyId) -> Call<'a> {
        let deadline = Deadline::after(Duration::from_secs(5));
        Call {
            store: &self.store,
            key_id,
            deadline,
            metadata: &self.metadata,
            client_certificate: ClientCertificate::Off,
            transport: Transport::default(),
            action: Action::Encrypt,
            policy: self.policy.as_ref(),
            decision: Box::leak(Box::default()),
            calls: Box::leak(Box::default()),
        }
    }
}

fn body() -> serde_json::Value {
    json!({
        "requestMetadata": { "awsPrincipalArn": "p", "kmsOperation": "o", "kmsRequestId": "r", "kmsKeyArn": "a" },
        "encryptionAlgorithm": "AES_GCM",
    })
}

#[tokio::test]
async fn a_ciphertext_decrypts_with_and_without_integrity_value() {
    let scene = scene();
    for cdiv in [false, true] {
        let encrypted = scene.encrypt("k", cdiv).await.unwrap();
        assert_eq!(encrypted.integrity_value.is_some(), cdiv);
        assert_eq!(encrypted.ciphertext_metadata.as_bytes(), [1, 0, 0, 0, 1]);
        assert_eq!(
            scene.decrypt("k", &encrypted, None).await.unwrap(),
            b"Hello"
        );
    }
}

#[tokio::test]
async fn changed_metadata_and_unknown_versions_are_invalid_ciphertexts() {
    let scene = scene();
    let encrypted = scene.encrypt("k", false).await.unwrap();
    for metadata in ["", "AQAAAAI=", "AQAAAAA=", "a2V5X3ZlcnNpb249MQ=="] {
        let outcome = scene.decrypt("k", &encrypted, Some(metadata)).await;
        assert_eq!(outcome, Err(FaultKind::CiphertextInvalid), "{metadata}");
    }
    assert_eq!(
        scene.decrypt("small", &encrypted, None).await,
        Err(FaultKind::KeyUnsuitable)
    );
}

#[tokio::test]
async fn the_integrity_value_covers_the_response() {
    let scene = scene();
    let sent = scene.encrypt("k", true).await.unwrap();
    let expected = crate::xks::integrity_value(
        &crate::xks::Aad::default(),
        &sent.ciphertext_metadata,
        sent.encrypted.iv.as_bytes(),
        &sent.encrypted.ciphertext,
        sent.encrypted.tag.as_bytes(),
    );
    assert_eq!(sent.integrity_value, Some(expected));
    assert_eq!(scene.device.asked(), 1, "one job");
}

#[tokio::test]
async fn the_usage_comes_from_the_attributes() {
    let scene = scene();
    let encrypted = scene.encrypt("e", false).await.unwrap();
    assert_eq!(
        scene.encrypt("e", true).await.unwrap_err(),
        FaultKind::UsageNotPermitted
    );
    assert_eq!(
        scene.decrypt("e", &encrypted, None).await,
        Err(FaultKind::UsageNotPermitted)
    );
    assert_eq!(
        scene.encrypt("d", false).await.unwrap_err(),
        FaultKind::UsageNotPermitted
    );
    assert_eq!(
        scene.encrypt("small", false).await.unwrap_err(),
        FaultKind::KeyUnsuitable
    );
    assert_eq!(
        scene.metadata("e").await.unwrap(),
        r#"{"keySpec":"AES_256","keyUsage":["ENCRYPT"],"keyStatus":"ENABLED"}"#
    );
    assert!(scene.metadata("small").await.unwrap().contains("AES_128"));
}

#[tokio::test]
async fn unknown_absent_and_disabled_keys_have_different_errors() {
    let scene = scene();
    let encrypted = scene.encrypt("k", false).await.unwrap();
    assert_eq!(
        scene.encrypt("nope", false).await.unwrap_err(),
        FaultKind::KeyUnknown
    );
    assert_eq!(
        scene.encrypt("gone", false).await.unwrap_err(),
        FaultKind::KeyAbsent
    );
    assert_eq!(
        scene.encrypt("off", false).await.unwrap_err(),
        FaultKind::KeyDisabled
    );
    assert_eq!(
        scene.decrypt("off", &encrypted, None).await,
        Err(FaultKind::KeyDisabled)
    );
    assert!(scene.metadata("off").await.unwrap().contains("DISABLED"));
    assert_eq!(scene.metadata("gone").await, Err(FaultKind::KeyAbsent));
}

#[tokio::test]
async fn a_disabled_store_serves_only_metadata() {
    let mut scene = scene();
    let encrypted = scene.encrypt("k", false).await.unwrap();
    scene.store.state = State::Disabled;
    assert_eq!(
        scene.encrypt("k", false).await.unwrap_err(),
        FaultKind::KeyStoreDisabled
    );
    assert_eq!(
        scene.encrypt("nope", false).await.unwrap_err(),
        FaultKind::KeyStoreDisabled,
        "state before key"
    );
    assert_eq!(
        scene.decrypt("k", &encrypted, None).await,
        Err(FaultKind::KeyStoreDisabled)
    );
    assert!(scene.metadata("k").await.unwrap().contains("DISABLED"));
    assert!(health(&scene.store, 1).is_err());
}

#[tokio::test]
async fn the_policy_comes_after_the_key_and_before_its_state() {
    let mut scene = scene();
    let policy = |text: &str| {
        let sources = [PolicySource {
            name: "rules".into(),
            text: text.into(),
        }];
        Authorization {
            policy: Policy::load(&sources, PolicyMode::Enforce).unwrap().0,
            metrics: PolicyMetrics::declare(&Metrics::default()).unwrap(),
        }
    };
    scene.policy = Some(policy(
        "permit(principal, action, resource == Xks::Key::\"store/k\");",
    ));
    assert!(scene.encrypt("k", true).await.is_ok());
    assert_eq!(
        scene.encrypt("nope", false).await.unwrap_err(),
        FaultKind::KeyUnknown
    );
    for key in ["off", "gone", "small"] {
        let outcome = scene.encrypt(key, false).await;
        assert_eq!(outcome.unwrap_err(), FaultKind::AccessDenied, "{key}");
    }
    assert_eq!(scene.metadata("off").await, Err(FaultKind::AccessDenied));
    let calls = scene.device.encryptions();
    scene.policy = Some(policy(
        "permit(principal, action, resource == Xks::Key::\"store/none\");",
    ));
    assert_eq!(
        scene.encrypt("k", false).await.unwrap_err(),
        FaultKind::AccessDenied
    );
    assert_eq!(scene.device.encryptions(), calls, "the HSM was not used");
    assert!(health(&scene.store, 1).is_ok(), "health is exempt");
}

#[tokio::test]
async fn hsm_errors_are_not_reported_as_invalid_ciphertexts() {
    let scene = scene();
    let encrypted = scene.encrypt("k", false).await.unwrap();
    for (fault, kind) in [
        (KeyManagerFault::DeviceFailed, FaultKind::DeviceFailed),
        (KeyManagerFault::DeviceUnavailable, FaultKind::DeviceFailed),
        (KeyManagerFault::DeadlinePassed, FaultKind::DeadlinePassed),
        (KeyManagerFault::QueueFull, FaultKind::Overloaded),
    ] {
        scene.device.fail_with(Some(fault));
        assert_eq!(scene.encrypt("k", true).await.unwrap_err(), kind);
        assert_eq!(scene.decrypt("k", &encrypted, None).await, Err(kind));
        assert_eq!(scene.metadata("k").await, Err(kind));
    }
}

#[test]
fn health_contains_the_state_of_each_hsm() {
    let scene = scene();
    let text =
        |scene: &Scene| String::from_utf8(health(&scene.store, 3).unwrap().value.body()).unwrap();
    assert!(text(&scene).contains(r#""xksProxyFleetSize":3"#));
    assert!(text(&scene).contains(r#"{"id":"hsm","model":"fake 1","healthStatus":"ACTIVE"}"#));
    scene.device.set_usable(false);
    assert!(text(&scene).contains("UNAVAILABLE"));
}
