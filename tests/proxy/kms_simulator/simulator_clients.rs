//! Unmodified clients of AWS KMS that are not written in Python, sops and the AWS SDK for JavaScript, through the simulator and the proxy
//! to the token. `tests/matrix` installs them.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;

use crate::harness::PAYMENTS;
use crate::harness::command::Ran;
use crate::harness::system::System;

/// Returns the directory in which `tests/matrix` installs the clients.
fn clients() -> PathBuf {
    match std::env::var_os("XKS_TEST_CLIENTS") {
        Some(clients) => clients.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv-clients"),
    }
}

/// Runs a client without the configuration of the user of this machine.
#[track_caller]
fn run(client: &mut Command, input: &str) -> Ran {
    let mut client = client
        .env_remove("AWS_PROFILE")
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a client of AWS KMS: tests/matrix installs it in .venv-clients");
    let mut stdin = client.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    client.wait_with_output().unwrap().into()
}

#[test]
fn the_sdk_for_javascript_uses_a_key_of_the_store() {
    let system = System::start(|options, _| options);
    let script =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/proxy/kms_simulator/programs/sdk.cjs");
    let mut node = Command::new("node");
    let node = node
        .arg(script)
        .env("NODE_PATH", clients().join("node_modules"));
    let ran = run(node, &system.facts().to_string());
    assert_eq!(ran.code, Some(0), "{ran}");
}

/// sops in a directory, with keys of the simulator.
struct Sops<'a> {
    system: &'a System,
    directory: PathBuf,
}

impl Sops<'_> {
    fn run(&self, arguments: &[&str]) -> Ran {
        let mut sops = Command::new(clients().join("bin/sops"));
        let sops = sops
            .args(arguments)
            .current_dir(&self.directory)
            .env("AWS_ENDPOINT_URL_KMS", self.system.simulator.url())
            .env("AWS_REGION", PAYMENTS.region)
            .env("AWS_ACCESS_KEY_ID", "111122223333")
            .env("AWS_SECRET_ACCESS_KEY", "any secret does")
            .env("AWS_MAX_ATTEMPTS", "1");
        run(sops, "")
    }

    #[track_caller]
    fn ok(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        assert_eq!(ran.code, Some(0), "{arguments:?}: {ran}");
        ran.stdout
    }

    #[track_caller]
    fn rejected(&self, exception: &str, arguments: &[&str]) {
        let ran = self.run(arguments);
        let is_named = ran.stderr.contains(exception);
        assert!(ran.code != Some(0) && is_named, "{arguments:?}: {ran}");
    }
}

const SECRETS: &str = "database:\n    user: orders\n    password: not in clear\n";

#[test]
fn sops_encrypts_a_file_with_a_key_of_the_store() {
    let system = System::start(|options, _| options);
    let (kms, store) = (system.kms(), system.connected_store());
    let request = json!({
        "Origin": "EXTERNAL_KEY_STORE",
        "CustomKeyStoreId": store,
        "XksKeyId": "orders",
    });
    let key = kms.ok("CreateKey", &request)["KeyMetadata"]["Arn"].clone();
    let arn = key.as_str().unwrap();
    let sops = Sops {
        system: &system,
        directory: system.proxy.setup.directory.clone(),
    };
    let file = |name: &str| sops.directory.join(name);
    fs::write(file("secrets.yaml"), SECRETS).unwrap();
    let context = ["--encryption-context", "purpose:test"];
    let encrypt = [&["encrypt", "--kms", arn], &context[..], &["secrets.yaml"]].concat();
    let encrypted = sops.ok(&encrypt);
    assert!(
        !encrypted.contains("not in clear") && encrypted.contains(arn),
        "{encrypted}"
    );
    fs::write(file("encrypted.yaml"), &encrypted).unwrap();
    assert_eq!(sops.ok(&["decrypt", "encrypted.yaml"]), SECRETS);
    // A new data key under the same KMS key.
    sops.ok(&["rotate", "--in-place", "encrypted.yaml"]);
    let rotated = fs::read_to_string(file("encrypted.yaml")).unwrap();
    assert_ne!(rotated, encrypted);
    assert_eq!(sops.ok(&["decrypt", "encrypted.yaml"]), SECRETS);
    let changed = rotated.replace("purpose: test", "purpose: another");
    assert_ne!(changed, rotated);
    fs::write(file("changed.yaml"), changed).unwrap();
    sops.rejected("KMSInvalidStateException", &["decrypt", "changed.yaml"]);
    kms.ok("DisableKey", &json!({ "KeyId": arn }));
    sops.rejected("DisabledException", &["decrypt", "encrypted.yaml"]);
}
