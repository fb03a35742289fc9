//! The unmodified AWS CLI against the KMS simulator, the proxy and the token: the first steps of a user with an external key store.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::harness::PAYMENTS;
use crate::harness::command::Ran;
use crate::harness::metrics::eventually;
use crate::harness::system::{System, store_request};
use crate::harness::tools::python;

/// The environment for calls of the AWS CLI.
struct Terminal<'a> {
    system: &'a System,
    directory: PathBuf,
}

impl Terminal<'_> {
    /// Runs `aws kms …` without the configuration of the user of this machine.
    fn aws(&self, arguments: &[&str]) -> Ran {
        let aws = python().with_file_name("aws");
        let output = Command::new(python())
            .arg(aws)
            .args(["--endpoint-url", &self.system.simulator.url()])
            .args(["--region", PAYMENTS.region, "--output", "json", "kms"])
            .args(arguments)
            .env("AWS_ACCESS_KEY_ID", "111122223333")
            .env("AWS_SECRET_ACCESS_KEY", "any secret does")
            .env("AWS_CONFIG_FILE", "/dev/null")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
            .env("AWS_MAX_ATTEMPTS", "1")
            .env("AWS_PAGER", "")
            .env_remove("AWS_PROFILE")
            .output()
            .expect("the AWS CLI: tests/run installs it in .venv");
        output.into()
    }

    #[track_caller]
    fn ok(&self, arguments: &[&str]) -> Value {
        let ran = self.aws(arguments);
        assert_eq!(ran.code, Some(0), "{arguments:?}: {ran}");
        match ran.stdout.trim() {
            "" => Value::Null,
            _ => ran.json(),
        }
    }

    #[track_caller]
    fn rejected(&self, exception: &str, arguments: &[&str]) {
        let ran = self.aws(arguments);
        // The exit code for an error of the service: 254 in version 2, 255 in version 1.
        let said_no = matches!(ran.code, Some(254 | 255));
        assert!(said_no, "{arguments:?}: {ran}");
        assert!(
            ran.stderr.contains(&format!("({exception})")),
            "{arguments:?}: {ran}"
        );
    }

    /// Writes a file and returns the argument by which the CLI reads it.
    fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.directory.join(name);
        fs::write(&path, bytes).unwrap();
        format!("fileb://{}", path.display())
    }

    fn blob(&self, name: &str, answer: &Value) -> String {
        self.file(name, &decoded(answer, "CiphertextBlob"))
    }
}

#[track_caller]
fn decoded(answer: &Value, field: &str) -> Vec<u8> {
    let text = answer[field]
        .as_str()
        .unwrap_or_else(|| panic!("no {field} in {answer}"));
    STANDARD.decode(text).unwrap()
}

/// Creates and connects a store and creates a key in it.
#[track_caller]
fn create_store_and_key(terminal: &Terminal<'_>) -> (String, String) {
    // In a file, because every user can read a command line, and because version 1 of the CLI fetches arguments that look like URLs.
    let request = store_request(&PAYMENTS);
    let request = terminal.file("store.json", request.to_string().as_bytes());
    let request = request.replace("fileb://", "file://");
    let created = terminal.ok(&["create-custom-key-store", "--cli-input-json", &request]);
    let store = created["CustomKeyStoreId"].as_str().unwrap().to_owned();
    terminal.ok(&["connect-custom-key-store", "--custom-key-store-id", &store]);
    eventually("CONNECTED", || {
        let all = terminal.ok(&["describe-custom-key-stores"]);
        (all["CustomKeyStores"][0]["ConnectionState"] == "CONNECTED").then_some(())
    });
    let key = terminal.ok(&[
        "create-key",
        "--origin",
        "EXTERNAL_KEY_STORE",
        "--custom-key-store-id",
        &store,
        "--xks-key-id",
        "orders",
        "--description",
        "from the command line",
    ]);
    let key = &key["KeyMetadata"];
    assert_eq!(
        (&key["KeyState"], &key["Origin"]),
        (&"Enabled".into(), &"EXTERNAL_KEY_STORE".into())
    );
    (store, key["KeyId"].as_str().unwrap().to_owned())
}

#[test]
fn a_user_creates_and_uses_a_key_store() {
    let system = System::start(|options, _| options);
    let terminal = Terminal {
        directory: system.proxy.setup.directory.clone(),
        system: &system,
    };
    let (store, key) = create_store_and_key(&terminal);
    terminal.ok(&[
        "create-alias",
        "--alias-name",
        "alias/day",
        "--target-key-id",
        &key,
    ]);
    let encrypted = encrypt(&terminal, &store, &key);
    assert!(
        encrypted["KeyId"]
            .as_str()
            .unwrap()
            .ends_with(&format!(":111122223333:key/{key}"))
    );
    let blob = terminal.blob("encrypted", &encrypted);
    check_decryption(&terminal, &blob);
    terminal.ok(&["disable-key", "--key-id", &key]);
    let decrypt = decrypt(&blob, "project=nile");
    terminal.rejected("DisabledException", &decrypt);
    let deletion = [
        "schedule-key-deletion",
        "--key-id",
        &key,
        "--pending-window-in-days",
        "7",
    ];
    assert_eq!(terminal.ok(&deletion)["KeyState"], "PendingDeletion");
    terminal.rejected("KMSInvalidStateException", &decrypt);
}

/// Encrypts and returns the response. Independent calls run at the same time, because each call of the CLI takes half a second.
fn encrypt(terminal: &Terminal<'_>, store: &str, key: &str) -> Value {
    let plaintext = terminal.file("plaintext", b"attack at dawn");
    thread::scope(|scope| {
        let encrypt = [
            "encrypt",
            "--key-id",
            "alias/day",
            "--plaintext",
            &plaintext,
            "--encryption-context",
            "project=nile",
        ];
        let encrypted = scope.spawn(move || terminal.ok(&encrypt));
        let data_key = [
            "generate-data-key",
            "--key-id",
            key,
            "--key-spec",
            "AES_256",
        ];
        let data_key = scope.spawn(move || terminal.ok(&data_key));
        check_unsupported(terminal, scope, store, key);
        assert_eq!(decoded(&data_key.join().unwrap(), "Plaintext").len(), 32);
        encrypted.join().unwrap()
    })
}

fn decrypt<'a>(blob: &'a str, context: &'a str) -> [&'a str; 5] {
    [
        "decrypt",
        "--ciphertext-blob",
        blob,
        "--encryption-context",
        context,
    ]
}

/// Decrypts with the correct and with a wrong encryption context, and re-encrypts.
fn check_decryption(terminal: &Terminal<'_>, blob: &str) {
    thread::scope(|scope| {
        let right = decrypt(blob, "project=nile");
        let opened = scope.spawn(move || terminal.ok(&right));
        let wrong = decrypt(blob, "project=amazon");
        let wrong = scope.spawn(move || terminal.rejected("KMSInvalidStateException", &wrong));
        let again = terminal.ok(&[
            "re-encrypt",
            "--ciphertext-blob",
            blob,
            "--source-encryption-context",
            "project=nile",
            "--destination-key-id",
            "alias/day",
        ]);
        let again = terminal.blob("again", &again);
        let again = terminal.ok(&["decrypt", "--ciphertext-blob", &again]);
        wrong.join().unwrap();
        for opened in [opened.join().unwrap(), again] {
            assert_eq!(decoded(&opened, "Plaintext"), b"attack at dawn");
        }
    });
}

/// Calls operations that external key stores do not support, all at the same time.
fn check_unsupported<'scope>(
    terminal: &'scope Terminal<'scope>,
    scope: &'scope thread::Scope<'scope, '_>,
    store: &str,
    key: &str,
) {
    let calls = [
        format!(
            "create-key --origin EXTERNAL_KEY_STORE --custom-key-store-id {store} --xks-key-id ledger --key-spec RSA_2048 --key-usage ENCRYPT_DECRYPT"
        ),
        format!(
            "create-key --origin EXTERNAL_KEY_STORE --custom-key-store-id {store} --xks-key-id ledger --multi-region"
        ),
        format!("generate-data-key-pair --key-id {key} --key-pair-spec ECC_NIST_P256"),
        format!("enable-key-rotation --key-id {key}"),
    ];
    for call in calls {
        scope.spawn(move || {
            let words: Vec<&str> = call.split(' ').collect();
            terminal.rejected("UnsupportedOperationException", &words);
        });
    }
}
