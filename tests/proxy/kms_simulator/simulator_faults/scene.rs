//! A simulator before a fake proxy: one store that is connected, with one key.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rustls::ServerConfig;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::fake_proxy::FakeProxy;
use crate::harness::pki::Authority;
use crate::harness::served::tls_server;
use crate::harness::simulator::{Kms, Options, Simulator};

pub const ACCOUNT: &str = "111122223333";
pub const REGION: &str = "eu-west-1";
/// The names by which the fake proxy is known.
pub const NAMES: [&str; 3] = ["proxy.test", "second.test", "third.test"];

/// All of it.
pub struct Scene {
    pub fake: FakeProxy,
    pub simulator: Simulator,
    pub kms: Kms,
    /// The store's id.
    pub store: String,
    /// The key's id.
    pub key: String,
    pub authority: Authority,
    numbers: AtomicU32,
    directory: TempDir,
}

impl Scene {
    /// With a patience that no busy machine exhausts, and without health checks that would be counted.
    #[track_caller]
    pub fn start() -> Self {
        Self::start_with(|options, _| {
            options
                .with("--timeout", "10s")
                .with("--health-interval", "1h")
        })
    }

    /// With other options; the directory is the scene's own.
    #[track_caller]
    pub fn start_with(options: impl FnOnce(Options, &Path) -> Options) -> Self {
        let (authority, directory) = (Authority::new("Fake CA"), tempfile::tempdir().unwrap());
        let fake = FakeProxy::start(good(&authority));
        let simulator = Simulator::start(&options(
            trusting(&authority, directory.path(), &fake),
            directory.path(),
        ));
        let mut scene = Self {
            kms: simulator.caller(ACCOUNT, REGION),
            fake,
            simulator,
            store: String::new(),
            key: String::new(),
            authority,
            numbers: AtomicU32::new(0),
            directory,
        };
        scene.store = scene.new_store("proxy.test");
        assert_eq!(scene.kms.connect(&scene.store), "CONNECTED");
        scene.key = scene.new_key(&scene.store);
        scene
    }

    /// Where files may be put.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A certificate for all names.
    pub fn good_tls(&self) -> Arc<ServerConfig> {
        good(&self.authority)
    }

    /// A number that this scene has not seen.
    pub fn number(&self) -> u32 {
        self.numbers.fetch_add(1, Ordering::SeqCst)
    }

    /// The body of CreateCustomKeyStore, with a name and a path that no other has.
    pub fn store_body(&self, name: &str) -> Value {
        let number = self.number();
        json!({
            "CustomKeyStoreName": format!("store {number}"),
            "CustomKeyStoreType": "EXTERNAL_KEY_STORE",
            "XksProxyConnectivity": "PUBLIC_ENDPOINT",
            "XksProxyUriEndpoint": format!("https://{name}"),
            "XksProxyUriPath": format!("/fake-{number}/kms/xks/v1"),
            "XksProxyAuthenticationCredential": {
                "AccessKeyId": "XKSFAKEKEYAAAAAAAAAA",
                "RawSecretAccessKey": "Mn6bVc4xZl2kJh0gFd8sAp9oIu7yTr5eWq3LkJhGfDs=",
            },
        })
    }

    /// A new store that is not connected.
    #[track_caller]
    pub fn new_store(&self, name: &str) -> String {
        let created = self.kms.ok("CreateCustomKeyStore", &self.store_body(name));
        created["CustomKeyStoreId"].as_str().unwrap().to_owned()
    }

    /// The body of CreateKey for an external key that no other has.
    pub fn key_body(&self, store: &str) -> Value {
        json!({
            "Origin": "EXTERNAL_KEY_STORE",
            "CustomKeyStoreId": store,
            "XksKeyId": format!("external-{}", self.number()),
        })
    }

    /// A new key in a store.
    #[track_caller]
    pub fn new_key(&self, store: &str) -> String {
        let created = self.kms.ok("CreateKey", &self.key_body(store));
        created["KeyMetadata"]["KeyId"].as_str().unwrap().to_owned()
    }

    /// A ciphertext under the scene's key.
    #[track_caller]
    pub fn blob(&self) -> Value {
        self.kms.encrypt(&self.key).unwrap()["CiphertextBlob"].clone()
    }

    /// Decrypts one.
    #[track_caller]
    pub fn decrypt(&self, blob: &Value) -> Result<Value, (String, String)> {
        self.kms.call("Decrypt", &json!({ "CiphertextBlob": blob }))
    }
}

fn good(authority: &Authority) -> Arc<ServerConfig> {
    tls_server(&authority.server_for(&NAMES), None)
}

fn trusting(authority: &Authority, directory: &Path, fake: &FakeProxy) -> Options {
    let file = directory.join("proxy-ca.pem");
    std::fs::write(&file, authority.pem()).unwrap();
    let options = Options::trusting(&file);
    let known = |options: Options, name: &&str| options.resolving(name, fake.address());
    NAMES.iter().fold(options, known)
}
