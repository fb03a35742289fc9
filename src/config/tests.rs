//! The configuration: defaults, and reports of all errors.

mod access;
mod blanks;
mod files;
mod hsm;
mod key_stores;
mod policy;
mod proxy_protocol;
mod reference;
mod rules;
mod secrets;
mod server_and_log;
mod shared_tokens;
mod warnings;

use std::fs;

use super::*;
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
fn all_errors_are_reported_at_once_with_their_lines() {
    let text = GOOD
        .replace("127.0.0.1:0", "localhost")
        .replace("\"server.pem\"", "\"gone.pem\"")
        .replace("region = \"eu-west-1\"", "regoin = \"eu-west-1\"")
        .replace("XKSPAYMENTSKEYAAAAAA", "lowercase");
    let faults = load_text(&text).unwrap_err();
    let text = faults.to_string();
    for part in [
        "line 3: server.listen: \"localhost\" is not an address",
        "line 5: server.tls.certificate: cannot read",
        "key_store[0].region: is missing",
        "line 17: key_store[0].regoin: is unknown; did you mean \"region\"?",
        "key_store[0].credential[0].access_key_id: an access key id has 20 to 30",
    ] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
    assert_eq!(faults.0.len(), 5, "{text}");
}
