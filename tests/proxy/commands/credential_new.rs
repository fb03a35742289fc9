//! `xks-proxy credential new`: what is written where, what is shown to whom, and that KMS can sign with it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::commands::command_line::run;
use crate::harness::setup::Setup;
use crate::harness::{PAYMENTS, Proxy, StoreName};

/// `xks-proxy credential new` with a secret file and more options.
fn credential_new(secret_file: &Path, more: &[&str]) -> (Option<i32>, String, String) {
    let command = ["credential", "new", "--secret-file", text(secret_file)];
    run(&[&command, more].concat())
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[track_caller]
fn private(path: &Path) -> String {
    let mode = fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600, "{}", path.display());
    fs::read_to_string(path).unwrap()
}

#[track_caller]
fn assert_rules(id: &str, secret: &str) {
    let is_id = |b: u8| matches!(b, b'A'..=b'Z' | b'2'..=b'7');
    assert!(
        (20..=30).contains(&id.len()) && id.bytes().all(is_id),
        "{id}"
    );
    let is_secret = |b: u8| b.is_ascii_alphanumeric() || b"/+=".contains(&b);
    assert!((43..=64).contains(&secret.len()) && secret.bytes().all(is_secret));
}

#[test]
fn the_secret_is_in_its_file_and_in_the_consoles_json() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("new.secret");
    let (code, stdout, stderr) = credential_new(&file, &["--path-prefix", "/payments"]);
    assert_eq!(code, Some(0), "{stderr}");
    let secret = private(&file);
    let (table, console) = stdout.split_at(stdout.find('{').unwrap());
    let (inline, console) = console.split_once("\n\n").unwrap();
    let console: Value = serde_json::from_str(&console[console.find('{').unwrap()..]).unwrap();
    let id = console["XksProxyAuthenticationCredential"]["AccessKeyId"]
        .as_str()
        .unwrap();
    assert_rules(id, &secret);
    let wanted = json!({
        "XksProxyUriPath": "/payments/kms/xks/v1",
        "XksProxyAuthenticationCredential": { "AccessKeyId": id, "RawSecretAccessKey": secret },
    });
    assert_eq!(console, wanted);
    let head = format!("[[key_store.credential]]\naccess_key_id = {id:?}\nsecret = ");
    assert!(table.ends_with(&head), "{table}");
    assert_eq!(inline, format!("{{ file = {file:?} }}"));
    assert!(
        !stderr.contains(&secret) && stderr.contains("holds the secret"),
        "{stderr}"
    );
}

#[test]
fn with_a_console_file_nobody_sees_the_secret() {
    let directory = tempfile::tempdir().unwrap();
    let (file, console) = (directory.path().join("s"), directory.path().join("c"));
    for json in [&[][..], &["--json"]] {
        let options = ["--path-prefix", "", "--console-file", text(&console)];
        let (code, stdout, stderr) = credential_new(&file, &[&options, json].concat());
        assert_eq!(code, Some(0), "{stderr}");
        let secret = private(&file);
        let printed: Value = serde_json::from_str(&private(&console)).unwrap();
        assert_eq!(
            printed["XksProxyAuthenticationCredential"]["RawSecretAccessKey"],
            *secret
        );
        assert_eq!(printed["XksProxyUriPath"], "/kms/xks/v1");
        assert!(
            !stdout.contains(&secret) && stderr.is_empty(),
            "{stdout}{stderr}"
        );
        fs::remove_file(&file).unwrap();
        fs::remove_file(&console).unwrap();
    }
}

#[test]
fn files_in_the_way_stay_as_they_are() {
    let directory = tempfile::tempdir().unwrap();
    let (file, console) = (directory.path().join("s"), directory.path().join("c"));
    let options = ["--path-prefix", "/p", "--console-file", text(&console)];
    for (there, not_there) in [(&file, &console), (&console, &file)] {
        fs::write(there, "precious").unwrap();
        let (code, stdout, stderr) = credential_new(&file, &options);
        assert_eq!((code, &*stdout), (Some(1), ""));
        assert!(
            stderr.contains(text(there)) && stderr.contains("nothing was written"),
            "{stderr}"
        );
        assert_eq!(fs::read_to_string(there).unwrap(), "precious");
        assert!(!not_there.exists());
        fs::remove_file(there).unwrap();
    }
    let nowhere = directory.path().join("no/where");
    assert_eq!(credential_new(&nowhere, &options).0, Some(70));
    assert!(!console.exists());
}

#[test]
fn wrong_usage_and_bad_configurations_write_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut setup = Setup::new(directory.path());
    let good = setup.write();
    setup.set("hsm", "sessions", "0");
    let bad = setup.write_private("bad.toml", &setup.toml());
    let (good, bad) = (text(&good), text(&bad));
    let file = directory.path().join("s");
    for (place, wanted) in [
        (&[][..], 2),
        (&["--path-prefix", "/p/"], 2),
        (
            &[
                "--path-prefix",
                "/p",
                "--config",
                good,
                "--store",
                "payments",
            ],
            2,
        ),
        (&["--config", good], 2),
        (&["--store", "payments"], 2),
        (&["--config", good, "--store", "paymens"], 2),
        (&["--config", bad, "--store", "payments"], 78),
        (&["--config", "/nonexistent", "--store", "payments"], 78),
    ] {
        let (code, stdout, stderr) = credential_new(&file, place);
        assert_eq!((code, &*stdout), (Some(wanted), ""), "{place:?}: {stderr}");
        assert!(!file.exists() && !stderr.is_empty());
    }
    let (_, _, stderr) = credential_new(&file, &["--config", good, "--store", "paymens"]);
    assert!(stderr.contains("payments, retail"), "{stderr}");
    assert_eq!(run(&["credential"]).0, Some(2));
}

#[test]
fn check_config_accepts_the_table_in_its_store() {
    let directory = tempfile::tempdir().unwrap();
    let setup = Setup::new(directory.path());
    let configuration = setup.write();
    let file = directory.path().join("next \"secret\"");
    let place = ["--config", text(&configuration), "--store", "retail"];
    let (code, stdout, stderr) = credential_new(&file, &[&place, &["--json"][..]].concat());
    assert_eq!(code, Some(0), "{stderr}");
    let report: Value = serde_json::from_str(&stdout).unwrap();
    let uri_path = &report["console"]["XksProxyUriPath"];
    assert_eq!(uri_path, "/tenants/eu_1/retail-2/kms/xks/v1");
    assert_eq!(report["secret_file"], text(&file));
    let next_store = "[[key_store]]\nname = \"root\"";
    let with_table = format!("{}{next_store}", report["table"].as_str().unwrap());
    let toml = setup.toml().replace(next_store, &with_table);
    let changed = setup.write_private("changed.toml", &toml);
    let (code, _, stderr) = run(&["check-config", "--config", text(&changed)]);
    assert_eq!(code, Some(0), "{stderr}");
    // Other warnings are the harness's own.
    assert!(!stderr.contains("credential"), "{stderr}");
}

#[test]
fn kms_signs_with_a_new_credential() {
    let mut made = None;
    let proxy = Proxy::start_with(|setup| {
        let file = setup.directory.join("fresh.secret");
        let (_, stdout, _) = credential_new(&file, &["--json", "--path-prefix", "/fresh"]);
        let report: Value = serde_json::from_str(&stdout).unwrap();
        let table = report["table"].as_str().unwrap();
        setup.append(&format!(
            "[[key_store]]\nname = \"fresh\"\npath_prefix = \"/fresh\"\nregion = \"eu-west-1\"\n{table}\
             [[key_store.key]]\nid = \"extra\"\nlabel = \"nobody-asks-for-this-label\"\n"
        ));
        made = Some(report["console"]["XksProxyAuthenticationCredential"].clone());
    });
    let made = made.unwrap();
    let leaked = |key: &str| -> &'static str { made[key].as_str().unwrap().to_owned().leak() };
    let fresh = StoreName {
        name: "fresh",
        prefix: "/fresh",
        access_key_id: leaked("AccessKeyId"),
        secret: leaked("RawSecretAccessKey"),
        ..PAYMENTS
    };
    proxy.caller(&fresh).encrypt("extra", b"x");
}

#[test]
fn help_shows_an_example() {
    let (code, stdout, _) = run(&["credential", "new", "--help"]);
    assert_eq!(code, Some(0));
    assert!(
        stdout.contains("Example:") && stdout.contains("--secret-file"),
        "{stdout}"
    );
}
