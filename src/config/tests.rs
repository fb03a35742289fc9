//! The configuration: the contract parses, and every fault is told.

mod access;
mod blanks;
mod hsm;
mod policy;
mod proxy_protocol;
mod rules;
mod secrets;
mod shared_tokens;
mod warnings;

use std::fs;
use std::path::PathBuf;

use super::*;
use crate::keystore::QuotaSettings;
use crate::logging::{LogFormat, LogLevel};

/// A certificate with its key, both PEM, without a warning: its issuer has the name of a root that KMS trusts.
fn server_pair() -> (String, String) {
    use rcgen::{CertificateParams, CertifiedIssuer, DnType, KeyPair};
    let new_key = || KeyPair::generate().unwrap();
    let mut root = CertificateParams::new(vec![]).unwrap();
    for (kind, value) in [
        (DnType::CountryName, "US"),
        (DnType::OrganizationName, "Amazon"),
        (DnType::CommonName, "Amazon Root CA 1"),
    ] {
        root.distinguished_name.push(kind, value);
    }
    root.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root = CertifiedIssuer::self_signed(root, new_key()).unwrap();
    let (leaf, key) = (
        CertificateParams::new(vec!["localhost".into()]).unwrap(),
        new_key(),
    );
    let certificate = leaf.signed_by(&key, &root).unwrap();
    (certificate.pem(), key.serialize_pem())
}

/// A directory with everything that a configuration may name.
fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) = server_pair();
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    };
    write("server.pem", &certificate);
    write("server.key", &key);
    write("bom.pem", &format!("\u{feff}{certificate}"));
    write("pin", "1234\n");
    write("secret", "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQ\n");
    directory
}

const GOOD: &str = r#"
[server]
listen = ["127.0.0.1:0"]
[server.tls]
certificate = "server.pem"
private_key = "server.key"

[[hsm]]
name = "hsm-a"
module = "/usr/lib/softhsm/libsofthsm2.so"
token = { label = "xks" }
pin = { file = "pin" }

[[key_store]]
name = "payments"
path_prefix = "/payments"
region = "eu-west-1"

[[key_store.credential]]
access_key_id = "XKSPAYMENTSKEYAAAAAA"
secret = { file = "secret" }

[[key_store.key]]
id = "orders"
"#;

fn load_text(text: &str) -> Result<Loaded, Findings> {
    parse(text, directory().path())
}

/// The faults of the good configuration with `from` replaced by `to`.
fn faults(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    load_text(&GOOD.replace(from, to)).unwrap_err().to_string()
}

#[test]
fn a_minimal_configuration_has_the_contracts_defaults() {
    let loaded = load_text(GOOD).unwrap();
    assert_eq!(loaded.warnings, []);
    let Configuration {
        server,
        admin,
        hsms,
        key_stores,
        log,
        access_log_sample,
        hedge_delay,
        policy,
        audit,
    } = loaded.configuration;
    assert_eq!(server.limits, crate::server::Limits::default());
    assert_eq!(server.grace_period.as_secs(), 10);
    assert!(admin.is_none() && policy.is_none() && audit.is_none());
    assert_eq!(hedge_delay.as_millis(), 80);
    assert_eq!((log.level, log.format), (LogLevel::Info, LogFormat::Json));
    assert_eq!(access_log_sample, crate::server::Sample::ALL);
    assert_eq!(
        (
            hsms[0].sessions,
            &*hsms[0].health_key,
            hsms[0].pin.path().unwrap().file_name().unwrap()
        ),
        (16, "xks-health", "pin".as_ref())
    );
    let timeouts = [hsms[0].hang_timeout, hsms[0].open_timeout];
    assert_eq!(timeouts.map(|timeout| timeout.as_secs()), [2, 30]);
    assert!(hsms[0].environment.0.is_empty() && hsms[0].writable.is_empty());
    assert!(!hsms[0].danger_no_sandbox);
    assert_eq!(key_stores[0].hsms, ["hsm-a"]);
    assert_eq!(key_stores[0].keys.len(), 1);
}

#[test]
fn limits_of_connections_without_effect_are_warned_about() {
    for (limits, warning) in [
        ("max_unverified_per_source = 600", "is above max_unverified"),
        ("max_unverified = 31", "is above max_unverified"),
        ("shared_sources = [\"0.0.0.0/0\"]", "has every address"),
    ] {
        let limits = format!("[server.limits]\n{limits}\n[server.tls]");
        let loaded = load_text(&GOOD.replace("[server.tls]", &limits)).unwrap();
        let [found] = &loaded.warnings[..] else {
            panic!("{:?}", loaded.warnings);
        };
        assert!(found.message.contains(warning), "{found}");
        assert!(found.line.is_some());
    }
    let limits = "[server.limits]\nshared_sources = [\"10.0.0.0/8\"]\n[server.tls]";
    let loaded = load_text(&GOOD.replace("[server.tls]", limits)).unwrap();
    let shared = loaded.configuration.server.shared_sources;
    assert!(shared.contain([10, 1, 2, 3].into()) && loaded.warnings.is_empty());
}

#[test]
fn successes_are_sampled_by_a_share() {
    for (share, expected) in [("0.01", 0.01), ("0", 0.0), ("1", 1.0), ("1e-3", 0.001)] {
        let log = format!("[log]\nsample_successes = {share}\n[[hsm]]");
        let loaded = load_text(&GOOD.replace("[[hsm]]", &log)).unwrap();
        assert_eq!(loaded.configuration.access_log_sample.share(), expected);
    }
    let whole = load_text(GOOD).unwrap().configuration.access_log_sample;
    assert_eq!(whole, crate::server::Sample::ALL);
}

#[test]
fn otlp_is_for_builds_that_have_it() {
    let with = |endpoint: &str| format!("[log.otlp]\nendpoint = {endpoint:?}\n[[hsm]]");
    let outcome = load_text(&GOOD.replace("[[hsm]]", &with("http://127.0.0.1:4318")));
    match outcome {
        Ok(loaded) if cfg!(feature = "otlp") => {
            let collector = loaded.configuration.log.otlp.unwrap();
            assert_eq!(collector.authority, "127.0.0.1:4318");
        }
        Err(faults) if !cfg!(feature = "otlp") => {
            let fault = faults.to_string();
            assert!(
                fault.contains("log.otlp: this build has no OTLP"),
                "{fault}"
            );
        }
        other => panic!("{other:?}"),
    }
    let wrong = faults("[[hsm]]", &with("https://collector"));
    assert!(
        wrong.contains("log.otlp.endpoint: \"https://collector\" is no http://"),
        "{wrong}"
    );
    let missing = faults("[[hsm]]", "[log.otlp]\n[[hsm]]");
    assert!(
        missing.contains("log.otlp.endpoint: is missing"),
        "{missing}"
    );
}

#[test]
fn every_fault_is_told_at_once_with_its_line() {
    let text = GOOD
        .replace("127.0.0.1:0", "localhost")
        .replace("\"server.pem\"", "\"gone.pem\"")
        .replace("region = \"eu-west-1\"", "regoin = \"eu-west-1\"")
        .replace("XKSPAYMENTSKEYAAAAAA", "lowercase");
    let faults = load_text(&text).unwrap_err();
    let text = faults.to_string();
    for part in [
        "line 3: server.listen: \"localhost\" is no address",
        "line 5: server.tls.certificate: cannot read",
        "key_store[0].region: is missing",
        "line 17: key_store[0].regoin: is unknown; did you mean \"region\"?",
        "key_store[0].credential[0].access_key_id: an access key id has 20 to 30",
    ] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
    assert_eq!(faults.0.len(), 5, "{text}");
}

#[test]
fn stores_may_share_neither_prefix_nor_access_key() {
    let store = &GOOD[GOOD.find("[[key_store]]").unwrap()..];
    let text = load_text(&format!("{GOOD}{store}"))
        .unwrap_err()
        .to_string();
    for key in [
        "key_store[1].name",
        "key_store[1].path_prefix",
        "key_store[1].credential[0].access_key_id",
    ] {
        assert!(text.contains(key), "{key} is not in:\n{text}");
    }
}

/// Another store that names keys of its own.
fn second_store(keys: &str) -> String {
    format!(
        "{GOOD}[[key_store]]\nname = \"retail\"\npath_prefix = \"/retail\"\nregion = \"eu-west-1\"\n[[key_store.credential]]\n\
         access_key_id = \"XKSRETAILKEYAAAAAAAA\"\nsecret = {{ file = \"secret\" }}\n{keys}"
    )
}

#[test]
fn a_device_key_in_two_stores_is_said_twice() {
    let shared = "[[key_store.key]]\nid = \"other\"\nlabel = \"orders\"\n";
    let text = load_text(&second_store(shared)).unwrap_err().to_string();
    for key in ["key_store[0].key[0].id", "key_store[1].key[0].id"] {
        assert!(text.contains(key), "{key} is not in:\n{text}");
    }
    let once = format!("{shared}danger_shared = true\n");
    let text = load_text(&second_store(&once)).unwrap_err().to_string();
    assert!(
        text.contains("key_store[0].key[0].id") && !text.contains("key_store[1]"),
        "{text}"
    );
    let twice = second_store(&once).replace(
        "id = \"orders\"\n",
        "id = \"orders\"\ndanger_shared = true\n",
    );
    assert!(load_text(&twice).is_ok());
    // Two names of one token are one token.
    let hsm = &GOOD[GOOD.find("[[hsm]]").unwrap()..GOOD.find("[[key_store]]").unwrap()];
    let again = second_store(shared).replace(
        "[[key_store]]\nname = \"retail\"",
        &format!(
            "{}[[key_store]]\nhsms = [\"hsm-b\"]\nname = \"retail\"",
            hsm.replace("hsm-a", "hsm-b")
        ),
    );
    let text = load_text(&again).unwrap_err().to_string();
    assert!(text.contains("key_store[1].key[0].id"), "{text}");
    assert!(load_text(&second_store("[[key_store.key]]\nid = \"other\"\n")).is_ok());
}

#[test]
fn versions_quota_share_and_legacy_ciphertexts() {
    let text = GOOD
        .replace("region =", "quota = { rate = 5, burst = 9 }\nfair = 3\nlegacy_ciphertexts = [\"aws-samples-v3\"]\nregion =")
        .replace("id = \"orders\"", "id = \"orders\"\nprimary = 2\nversions = [{ version = 1, label = \"a\" }, { version = 2, cka_id = \"0b\" }]");
    let store = load_text(&text).unwrap().configuration.key_stores.remove(0);
    assert_eq!(store.quota, Some(QuotaSettings { rate: 5, burst: 9 }));
    assert_eq!((store.share, store.decrypts_aws_samples), (3, true));
    let key = &store.keys[0];
    assert_eq!(key.primary().number.0, 2);
    assert_eq!(key.primary().selector.to_string(), "id 0b");
    let numbers: Vec<_> = key.versions().map(|version| version.number.0).collect();
    assert_eq!(numbers, [2, 1]);
}

/// What a rotation does not change stays: the key that is read from its table is the same but for its versions.
#[test]
fn a_key_is_read_back_from_the_table_of_a_rotation() {
    let versions = "primary = 2\nversions = [{ version = 1, label = \"a \\\"b\\\"\" }, { version = 2, cka_id = \"0bff\" }]";
    let more = "tags = { class = \"secret\", \"a b\" = \"\\u00e9\" }\nstate = \"disabled\"\ndanger_shared = true";
    for attributes in ["", versions, more, &format!("{versions}\n{more}")] {
        let text = GOOD.replace("id = \"orders\"", &format!("id = \"orders\"\n{attributes}"));
        let key = |text: &str| {
            let mut store = load_text(text).unwrap().configuration.key_stores.remove(0);
            store.keys.remove(0)
        };
        let before = key(&text);
        let highest = before.versions().map(|v| v.number.0).max().unwrap();
        for primary in [before.primary().number.0, highest + 1] {
            let new = NewVersion {
                number: highest + 1,
                label: "new \"one\"",
                primary,
            };
            let table = Original::new(text.clone())
                .rotated_key("payments", "orders", new)
                .unwrap();
            let head = GOOD.split("[[key_store.key]]").next().unwrap();
            let after = key(&format!("{head}{table}"));
            assert_eq!(after.primary().number.0, primary, "{table}");
            let old = |number| before.versions().find(|v| v.number == number).cloned();
            let mut versions: Vec<_> = after.versions().collect();
            versions.sort_by_key(|version| version.number);
            let added = versions.pop().unwrap();
            assert_eq!(added.selector.to_string(), "label \"new \\\"one\\\"\"");
            assert_eq!(versions.len(), before.versions().count());
            assert!(
                versions
                    .into_iter()
                    .all(|v| old(v.number).as_ref() == Some(v))
            );
            // Attributes of which the settings know something must be the same, whichever there are.
            assert_eq!(
                without_versions(&after),
                without_versions(&before),
                "{table}"
            );
        }
    }
}

/// All that a key has besides its versions.
fn without_versions(key: &crate::keystore::KeySettings) -> String {
    let shown = format!("{key:?}");
    let versions = [key.primary()].into_iter().chain(key.versions());
    let rest = versions.fold(shown, |shown, version| {
        shown.replace(&format!("{version:?}"), "")
    });
    rest.replace(", ", "")
}

#[test]
fn secrets_never_show() {
    let inline = GOOD.replace(
        "{ file = \"secret\" }",
        "{ danger_inline = \"hunter2hunter2hunter2hunter2hunter2hunter2hunter2\" }",
    );
    let loaded = load_text(&inline).unwrap();
    assert!(loaded.warnings[0].message.contains("for tests only"));
    assert!(!format!("{loaded:?}").contains("hunter2"));
    assert!(!format!("{:?}", load_text(GOOD).unwrap()).contains("abcdefghij"));
}

#[test]
fn files_that_are_missing_or_empty_are_faults() {
    assert!(
        load(&PathBuf::from("/nonexistent/config.toml"))
            .unwrap_err()
            .to_string()
            .contains("cannot read")
    );
    assert!(
        load_text("")
            .unwrap_err()
            .to_string()
            .contains("server: is missing")
    );
    let directory = directory();
    fs::write(directory.path().join("secret"), "\n").unwrap();
    let text = parse(GOOD, directory.path()).unwrap_err().to_string();
    assert!(text.contains("the secret is empty"), "{text}");
    fs::write(directory.path().join("secret"), b"\xff\xfe").unwrap();
    assert!(
        parse(GOOD, directory.path())
            .unwrap_err()
            .to_string()
            .contains("not UTF-8")
    );
}

/// Every sample parses but for the files that it names, which are not there.
#[test]
fn the_samples_parse() {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("config");
    let mut samples = 0;
    let entries = [directory.clone(), directory.join("hsm")].map(|d| fs::read_dir(d).unwrap());
    for entry in entries.into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        samples += 1;
        let Err(faults) = load(&path) else { continue };
        for fault in faults.0 {
            // A checkout may be writable for everybody.
            let about_a_file = fault.message.starts_with("cannot read")
                || fault.message.starts_with("everybody can ")
                || fault.message.contains("LoadCredential")
                || fault.message.contains("environment variable");
            assert!(about_a_file, "{}: {fault}", path.display());
        }
    }
    assert!(samples >= 11, "only {samples} samples");
}
