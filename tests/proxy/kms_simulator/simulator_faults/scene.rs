//! A simulator with a fake proxy, one connected store and one key.

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
/// The host names of the fake proxy.
pub const NAMES: [&str; 3] = ["proxy.test", "second.test", "third.test"];

/// A simulator, its fake proxy, and the connected store.
pub struct Scene {
    pub fake: FakeProxy,
    pub simulator: Simulator,
    pub kms: Kms,
    /// The id of the store.
    pub store: String,
    /// The id of the key.
    pub key: String,
    pub authority: Authority,
    numbers: AtomicU32,
    directory: TempDir,
}

impl Scene {
    /// Starts a scene with a long time limit for busy machines, and without health checks, which would change the counts.
    #[track_caller]
    pub fn start() -> Self {
        Self::start_with(|options, _| {
            options
                .with("--timeout", "10s")
                .with("--health-interval", "1h")
        })
    }

    /// Starts a scene with changed options. The path is the directory of the scene.
    #[track_caller]
    pub fn start_with(options: impl FnOnce(Options, &Path) -> Options) -> Self {
        let (authority, directory) = (Authority::new("Fake CA"), tempfile::tempdir().unwrap());
        let fake = FakeProxy::start(trusted_tls(&authority));
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

    /// Returns the directory for files of the test.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Returns TLS with a certificate for all host names.
    pub fn good_tls(&self) -> Arc<ServerConfig> {
        trusted_tls(&self.authority)
    }

    /// Returns a number that this scene has not used yet.
    pub fn number(&self) -> u32 {
        self.numbers.fetch_add(1, Ordering::SeqCst)
    }

    /// Returns the body of CreateCustomKeyStore with a unique name and path.
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

    /// Creates a disconnected store.
    #[track_caller]
    pub fn new_store(&self, name: &str) -> String {
        let created = self.kms.ok("CreateCustomKeyStore", &self.store_body(name));
        created["CustomKeyStoreId"].as_str().unwrap().to_owned()
    }

    /// Returns the body of CreateKey for a unique external key.
    pub fn key_body(&self, store: &str) -> Value {
        json!({
            "Origin": "EXTERNAL_KEY_STORE",
            "CustomKeyStoreId": store,
            "XksKeyId": format!("external-{}", self.number()),
        })
    }

    /// Creates a key in a store.
    #[track_caller]
    pub fn new_key(&self, store: &str) -> String {
        let created = self.kms.ok("CreateKey", &self.key_body(store));
        created["KeyMetadata"]["KeyId"].as_str().unwrap().to_owned()
    }

    /// Encrypts with the key of the scene.
    #[track_caller]
    pub fn blob(&self) -> Value {
        self.kms.encrypt(&self.key).unwrap()["CiphertextBlob"].clone()
    }

    /// Decrypts a ciphertext.
    #[track_caller]
    pub fn decrypt(&self, blob: &Value) -> Result<Value, (String, String)> {
        self.kms.call("Decrypt", &json!({ "CiphertextBlob": blob }))
    }
}

fn trusted_tls(authority: &Authority) -> Arc<ServerConfig> {
    tls_server(&authority.server_for(&NAMES), None)
}

fn trusting(authority: &Authority, directory: &Path, fake: &FakeProxy) -> Options {
    let file = directory.join("proxy-ca.pem");
    std::fs::write(&file, authority.pem()).unwrap();
    let options = Options::trusting(&file);
    let known = |options: Options, name: &&str| options.resolving(name, fake.address());
    NAMES.iter().fold(options, known)
}
