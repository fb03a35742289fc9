//! The whole system: a KMS simulator, this proxy and a token, checked by AWS's programs.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::harness::command::Ran;
use crate::harness::setup::Setup;
use crate::harness::simulator::{Kms, Options, Simulator};
use crate::harness::tools::python;
use crate::harness::{CLOSED, PAYMENTS, PAYMENTS_NEXT, Proxy, RETAIL, ROOT, StoreName};

/// The DNS names of the proxy for KMS: an endpoint and a path belong to one store only.
pub const NAMES: [&str; 11] = [
    "kms-0.test",
    "kms-1.test",
    "kms-2.test",
    "kms-3.test",
    "kms-4.test",
    "kms-5.test",
    "kms-6.test",
    "kms-7.test",
    "kms-8.test",
    "kms-9.test",
    "kms-10.test",
];
/// A name without a listener.
pub const NOBODY: &str = "nobody.test";

/// The proxy and the simulator.
pub struct System {
    /// The proxy.
    pub proxy: Proxy,
    /// The simulator. A test may replace it.
    pub simulator: Simulator,
    /// The options of the simulator.
    pub options: Options,
}

impl System {
    /// Starts both, with more options of the simulator. The directory is the test's own.
    #[track_caller]
    pub fn start(more: impl FnOnce(Options, &Path) -> Options) -> Self {
        Self::start_with(|_| {}, more)
    }

    /// Starts both with a changed configuration of the proxy.
    #[track_caller]
    pub fn start_with(
        change: impl FnOnce(&mut Setup),
        more: impl FnOnce(Options, &Path) -> Options,
    ) -> Self {
        let proxy = Proxy::start_with(|setup| {
            let identity = setup.authority.server_for(&NAMES);
            setup.server_identity(&identity);
            change(setup);
        });
        let directory = &proxy.setup.directory;
        let authority = directory.join("proxy-ca.pem");
        std::fs::write(&authority, proxy.setup.authority.pem()).unwrap();
        let known = |options: Options, name: &&str| options.resolving(name, proxy.server);
        let options = NAMES
            .iter()
            .fold(Options::trusting(&authority), known)
            .resolving(NOBODY, "127.0.0.1:1".parse().unwrap())
            .with("--timeout", "10s");
        let options = more(options, directory);
        Self {
            simulator: Simulator::start(&options),
            proxy,
            options,
        }
    }

    /// Returns the facts that the Python programs need.
    pub fn facts(&self) -> Value {
        let stores = [PAYMENTS, RETAIL, ROOT, CLOSED].map(|store| (store.name, store));
        let mut facts = json!({ "url": self.simulator.url(), "names": NAMES, "nobody": NOBODY });
        for (name, store) in [("payments-next", PAYMENTS_NEXT)].into_iter().chain(stores) {
            facts["stores"][name] = json!({
                "path": format!("{}/kms/xks/v1", store.prefix),
                "region": store.region,
                "access_key_id": store.access_key_id,
                "secret": store.secret,
            });
        }
        facts
    }

    /// Returns a client in the Region of the proxy's first store.
    pub fn kms(&self) -> Kms {
        self.simulator.caller("111122223333", PAYMENTS.region)
    }

    /// Makes a custom key store for that store, and connects it.
    #[track_caller]
    pub fn connected_store(&self) -> String {
        let kms = self.kms();
        let created = kms.ok("CreateCustomKeyStore", &store_request(&PAYMENTS));
        let store = created["CustomKeyStoreId"].as_str().unwrap().to_owned();
        assert_eq!(kms.connect(&store), "CONNECTED");
        store
    }

    /// Runs a program of `tests/proxy/kms_simulator/programs`, and fails the test with its output.
    #[track_caller]
    pub fn run_program(&self, script: &str, arguments: &[&str], facts: &Value) {
        run_program(script, arguments, facts);
    }
}

/// Runs a program of `tests/proxy/kms_simulator/programs`, and fails the test with its output.
#[track_caller]
pub fn run_program(script: &str, arguments: &[&str], facts: &Value) {
    let mut program = Command::new(python())
        .arg("-B")
        .arg(scripts().join(script))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a Python with boto3: tests/run makes one in .venv");
    let mut stdin = program.stdin.take().unwrap();
    stdin.write_all(facts.to_string().as_bytes()).unwrap();
    drop(stdin);
    let ran: Ran = program.wait_with_output().unwrap().into();
    assert_eq!(ran.code, Some(0), "{ran}");
}

/// Returns the CreateCustomKeyStore request for a store of the proxy.
pub fn store_request(store: &StoreName) -> Value {
    json!({
        "CustomKeyStoreName": store.name,
        "CustomKeyStoreType": "EXTERNAL_KEY_STORE",
        "XksProxyConnectivity": "PUBLIC_ENDPOINT",
        "XksProxyUriEndpoint": format!("https://{}", NAMES[0]),
        "XksProxyUriPath": format!("{}/kms/xks/v1", store.prefix),
        "XksProxyAuthenticationCredential": {
            "AccessKeyId": store.access_key_id,
            "RawSecretAccessKey": store.secret,
        },
    })
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/proxy/kms_simulator/programs")
}
