//! Unmodified boto3 against the KMS simulator, the proxy and the token. The responses must be those that AWS documents. The steps are in
//! `tests/proxy/kms_simulator/programs/`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::thread;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::RETAIL;
use crate::harness::metrics::eventually;
use crate::harness::simulator::{Kms, Options, Simulator, command};
use crate::harness::system::{System, store_request};

fn run_steps(script: &str) {
    let system = System::start(|options, _| options);
    system.run_program(script, &[], &system.facts());
}

#[test]
fn stores() {
    run_steps("stores.py");
}

#[test]
fn keys() {
    run_steps("keys.py");
}

#[test]
fn cryptography() {
    run_steps("crypto.py");
}

#[test]
fn the_service_model() {
    run_steps("model.py");
}

#[test]
fn rejections() {
    run_steps("rejections.py");
}

/// A credentials file with generated secrets.
const PRINCIPALS: [[&str; 4]; 4] = [
    [
        "admin",
        "AKIAADMINAAAAAAAAAAA",
        "admin/secret+0123456789012345678901234567",
        "arn:aws:iam::111122223333:user/admin",
    ],
    [
        "alice",
        "AKIAALICEAAAAAAAAAAA",
        "alice/secret+0123456789012345678901234567",
        "arn:aws:iam::111122223333:user/alice",
    ],
    [
        "bob",
        "AKIABOBAAAAAAAAAAAAA",
        "bob/secret+012345678901234567890123456789",
        "arn:aws:iam::111122223333:role/bob",
    ],
    [
        "carol",
        "AKIACAROLAAAAAAAAAAA",
        "carol/secret+0123456789012345678901234567",
        "arn:aws:iam::444455556666:user/carol",
    ],
];

#[test]
fn credentials() {
    let system = System::start(|options, directory| {
        let lines: Vec<String> = PRINCIPALS
            .iter()
            .map(|[_, id, secret, arn]| format!("{id} {secret} {arn}\n"))
            .collect();
        let file = directory.join("kms-credentials");
        fs::write(&file, lines.concat()).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        options.with("--credentials", file.display())
    });
    let mut facts = system.facts();
    for [name, id, secret, arn] in PRINCIPALS {
        facts["secrets"][name] = json!([id, secret, arn]);
    }
    system.run_program("credentials.py", &[], &facts);
    let log = system.simulator.daemon.log().join("\n");
    for [_, _, secret, _] in PRINCIPALS {
        assert!(!log.contains(secret), "{log}");
    }
}

#[test]
fn a_proxy_can_require_kms_of_one_region() {
    let system = System::start_with(
        |setup| {
            setup.require_client_certificates();
            let identity = setup.directory.join("identity");
            fs::create_dir(&identity).unwrap();
            setup.write_private("identity/ca.pem", &setup.client_authority.pem());
            setup.write_private("identity/ca.key", &setup.client_authority.key_pem());
        },
        |options, directory| {
            options
                .with("--identity", directory.join("identity").display())
                .with("--client-certificate", "client-auth")
        },
    );
    let store = system.connected_store();
    let kms = system.kms();
    let key = kms.ok(
        "CreateKey",
        &json!({"Origin": "EXTERNAL_KEY_STORE", "CustomKeyStoreId": store, "XksKeyId": "orders"}),
    );
    let key = key["KeyMetadata"]["KeyId"].as_str().unwrap();
    let encrypted = kms.encrypt(key).unwrap();
    kms.ok(
        "Decrypt",
        &json!({"CiphertextBlob": encrypted["CiphertextBlob"]}),
    );
    // The proxy has this store as well, but it rejects the client certificate of KMS in this Region.
    let elsewhere = system.simulator.caller("111122223333", RETAIL.region);
    let rejected = elsewhere.call("CreateCustomKeyStore", &store_request(&RETAIL));
    let (name, message) = rejected.unwrap_err();
    assert_eq!(name, "XksProxyUriUnreachableException", "{message}");
    assert!(message.contains("TLS"), "{message}");
}

fn with_state(system: &System) -> (PathBuf, Options) {
    let file = system.proxy.setup.directory.join("state.json");
    let options = system.options.clone().with("--state", file.display());
    (file, options)
}

#[test]
fn the_state_survives_a_stop_and_a_kill() {
    let mut system = System::start(|options, _| options);
    let (file, options) = with_state(&system);
    let note = system.proxy.setup.directory.join("note.json");
    let note = note.to_str().unwrap();
    system.simulator = Simulator::start(&options);
    system.run_program("state.py", &["write", note], &system.facts());
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "the file has key material");
    system.simulator.kill();
    system.simulator = Simulator::start(&options);
    system.run_program("state.py", &["check", note], &system.facts());
    system.simulator.daemon.signal(Signal::TERM);
    assert_eq!(system.simulator.daemon.wait().code(), Some(0));
    system.simulator = Simulator::start(&options);
    system.run_program("state.py", &["check", note], &system.facts());
}

#[test]
fn answered_changes_survive_a_kill_during_a_write() {
    let mut system = System::start(|options, _| options);
    let (_, options) = with_state(&system);
    system.simulator = Simulator::start(&options);
    let store = system.connected_store();
    let kms = system.kms();
    let key = kms.ok(
        "CreateKey",
        &json!({"Origin": "EXTERNAL_KEY_STORE", "CustomKeyStoreId": store, "XksKeyId": "orders"}),
    );
    let key = json!({ "KeyId": key["KeyMetadata"]["KeyId"] });
    let mut written = 0;
    for _ in 0..4 {
        let kms = system.kms();
        written = thread::scope(|scope| {
            let writer = scope.spawn(|| write_until_failure(&kms, &key, written));
            let begun =
                || description_number(&system.kms(), &key).filter(|found| *found > written + 3);
            eventually("writing", begun);
            system.simulator.daemon.signal(Signal::KILL);
            writer.join().unwrap()
        });
        system.simulator.daemon.wait();
        system.simulator = Simulator::start(&options);
        let found = description_number(&system.kms(), &key).unwrap();
        // The last change, which was not answered, may or may not be in the state.
        assert!(
            found == written || found == written + 1,
            "{found} after {written}"
        );
        written = found;
    }
}

/// Writes increasing numbers to the description of the key until a request fails, and returns the last number that was answered.
fn write_until_failure(kms: &Kms, key: &Value, from: u64) -> u64 {
    let mut written = from;
    loop {
        let body = json!({"KeyId": key["KeyId"], "Description": (written + 1).to_string()});
        match kms.try_call("UpdateKeyDescription", &body) {
            Ok(Ok(_)) => written += 1,
            Ok(Err(rejected)) => panic!("{rejected:?}"),
            Err(_) => return written,
        }
    }
}

/// Returns the number in the description of the key.
fn description_number(kms: &Kms, key: &Value) -> Option<u64> {
    let described = kms.ok("DescribeKey", key);
    let description = described["KeyMetadata"]["Description"].as_str();
    description.unwrap_or_default().parse().ok()
}

/// Checks that a simulator rejects its state: it reports the error, ends with the exit code of a bad configuration, and does not change the
/// file.
#[track_caller]
fn assert_rejected(options: &[&str], file: &Path, text: &[u8]) {
    fs::write(file, text).unwrap();
    let output = command()
        .args(["--listen", "127.0.0.1:0", "--state", file.to_str().unwrap()])
        .args(options)
        .output()
        .unwrap();
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{message}");
    assert!(message.contains(file.to_str().unwrap()), "{message}");
    assert_eq!(fs::read(file).unwrap(), text);
}

#[test]
fn an_invalid_state_is_rejected_and_not_changed() {
    let mut system = System::start(|options, _| options);
    let (file, options) = with_state(&system);
    let note = system.proxy.setup.directory.join("note.json");
    system.simulator = Simulator::start(&options);
    let arguments = ["write", note.to_str().unwrap()];
    system.run_program("state.py", &arguments, &system.facts());
    system.simulator.daemon.signal(Signal::TERM);
    system.simulator.daemon.wait();
    let whole = fs::read(&file).unwrap();
    let authority = system.proxy.setup.directory.join("proxy-ca.pem");
    let options = ["--trusted-ca", authority.to_str().unwrap()];
    let other = file.with_extension("other");
    for text in [
        &whole[..whole.len() / 2],
        &whole[..whole.len() - 2],
        b"",
        b"{",
        b"{}",
        b"[]",
        b"\xff\xfe",
        b"not ours",
    ] {
        assert_rejected(&options, &other, text);
    }
    // The complete state is still accepted.
    let again = Simulator::start(&with_state(&system).1);
    again
        .caller("777700000001", "eu-west-1")
        .ok("ListKeys", &json!({}));
}

#[test]
fn wrong_options_are_rejected() {
    for (arguments, code) in [
        (&["--listen", "0.0.0.0:0"][..], &[2, 78][..]),
        (&["--listen", "nowhere"], &[2]),
        (&["--trusted-ca", "/nonexistent.pem"], &[2, 78]),
        (
            &["--trusted-ca", "/dev/null", "--credentials", "/nonexistent"],
            &[2, 78],
        ),
        (&["--resolve", "kms.test"], &[2]),
        (&["--no-such-option"], &[2]),
    ] {
        let output = command().args(arguments).output().unwrap();
        let ended = output.status.code().unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(
            code.contains(&ended) && !message.is_empty(),
            "{arguments:?}: {ended} {message}"
        );
    }
    let help = command().arg("--help").output().unwrap();
    assert!(help.status.success());
    assert!(String::from_utf8_lossy(&help.stdout).contains("Example"));
}

#[test]
fn a_simulator_without_credentials_warns() {
    let system = System::start(|options, _| options);
    let daemon = &system.simulator.daemon;
    daemon.wait_for("credentials", |line| {
        let warning = line["what"].as_str().unwrap_or_default();
        line["event"] == "warning" && warning.contains("credentials")
    });
}
