//! Settings of the sample proxy go in; a configuration that parses, and a note for every key, come out.

mod errors;
mod gaps;

use std::path::Path;

use super::*;
use crate::config::{Loaded, parse};
use crate::hsm::GcmProfile;
use crate::toml_file::Finding;

const SECRET: &str = "Zq3WcE5rT7yU9iO1pA2sD4fG6hJ8kL0zX+cV/bN=mQw";

/// Every key that the sample knows, with mTLS and the logger.
const SETTINGS: &str = r#"
[server]
ip = "::"
port = 443
port_http_ping = 80
region = "eu-west-1"
service = "kms-xks-proxy"
ciphertext_metadata_b64 = "djE="
[server.tcp_keepalive]
tcp_keepalive_secs = 60
tcp_keepalive_retries = 3
tcp_keepalive_interval_secs = 1
[tracing]
is_stdout_writer_enabled = true
is_file_writer_enabled = true
level = "WARN"
directory = "/var/log/sample"
file_prefix = "sample.log"
rotation_kind = "DAILY"
[security]
is_sigv4_auth_enabled = true
is_tls_enabled = true
is_mtls_enabled = true
secondary_auth = "Oso"
[security.oso]
polar_file_path = "oso.polar"
[tls]
tls_cert_pem = "server.pem"
tls_key_pem = "server.key"
mtls_client_ca_pem = "server.pem"
mtls_client_dns_name = "kms.example"
[[external_key_stores]]
uri_path_prefix = ""
sigv4_access_key_id = "XKSROOTKEYAAAAAAAAAA"
sigv4_secret_access_key = "Zq3WcE5rT7yU9iO1pA2sD4fG6hJ8kL0zX+cV/bN=mQw"
xks_key_id_set = ["foo", "cat", "foo"]
[[external_key_stores]]
uri_path_prefix = "/example/prefix"
sigv4_access_key_id = "XKSEXAMPLEKEYAAAAAAA"
sigv4_secret_access_key = "Zq3WcE5rT7yU9iO1pA2sD4fG6hJ8kL0zX+cV/bN=mQw"
xks_key_id_set = ["foo", "bar"]
[pkcs11]
session_pool_max_size = 30
session_pool_timeout_milli = 0
session_eager_close = false
user_pin = 'a "hunter2" \ pin'
PKCS11_HSM_MODULE = "/opt/pkcs11-logger-x64.so"
context_read_timeout_milli = 10
[pkcs11_logger]
PKCS11_LOGGER_LIBRARY_PATH = "/opt/hsm/libhsm.so"
PKCS11_LOGGER_LOG_FILE_PATH = "/var/log/logger.log"
PKCS11_LOGGER_FLAGS = "0"
[limits]
max_plaintext_in_base64 = 8192
max_aad_in_base64 = 16384
[hsm_capabilities]
can_generate_iv = true
is_zero_iv_required = false
"#;

fn origin(directory: &Path) -> Origin {
    Origin {
        working_directory: directory.to_owned(),
        token_label: Some("the \"token\"".into()),
    }
}

fn migrated(text: &str) -> Migration {
    convert(text, &origin(Path::new("/old"))).unwrap()
}

/// The migration of the settings with `from` replaced by `to`.
fn changed(from: &str, to: &str) -> Migration {
    assert!(SETTINGS.contains(from), "{from}");
    migrated(&SETTINGS.replace(from, to))
}

fn all_notes(migration: &Migration) -> Vec<Finding> {
    let Notes {
        carried_over,
        not_carried_over,
        to_do,
    } = &migration.notes;
    [carried_over.as_slice(), not_carried_over, to_do].concat()
}

#[track_caller]
fn assert_to_do(migration: &Migration, key: &str, part: &str) {
    let to_do = &migration.notes.to_do;
    let found = to_do
        .iter()
        .any(|note| note.key == key && note.message.contains(part));
    assert!(found, "{key}: {part} is not in {to_do:#?}");
}

/// Writes the migration and parses it, as `check-config` does.
fn parsed(text: &str) -> Result<Loaded, Findings> {
    let directory = tempfile::tempdir().unwrap();
    let pair = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    std::fs::write(directory.path().join("server.pem"), pair.cert.pem()).unwrap();
    let key = pair.signing_key.serialize_pem();
    let private_key = NewFile {
        path: directory.path().join("server.key"),
        content: Secret::new(key),
    };
    private_file::create_private(&[private_key]).unwrap();
    let migration = convert(text, &origin(directory.path())).unwrap();
    migration.write(directory.path()).unwrap();
    parse(&migration.configuration, directory.path())
}

#[test]
fn the_configuration_parses_and_says_the_same() {
    let configuration = parsed(SETTINGS).unwrap().configuration;
    let listen = configuration.server.listen.iter().map(|one| one.address);
    assert_eq!(listen.collect::<Vec<_>>(), ["[::]:443".parse().unwrap()]);
    let hsm = &configuration.hsms[0];
    assert_eq!(hsm.module, Path::new("/opt/hsm/libhsm.so"));
    assert!(hsm.pin.path().unwrap().ends_with("hsm.pin"));
    assert_eq!(hsm.sessions, 30);
    assert_eq!(hsm.gcm_profile, GcmProfile::IvAppended);
    assert!(format!("{:?}", hsm.token).contains("the \\\"token\\\""));
    let [root, example] = configuration.key_stores.as_slice() else {
        panic!("{:?}", configuration.key_stores);
    };
    assert_eq!((&*root.name, root.prefix.as_str()), ("root", ""));
    assert_eq!(example.name, "example-prefix");
    assert_eq!(example.prefix.as_str(), "/example/prefix");
    assert_eq!(
        (&*root.region, &*example.region),
        ("eu-west-1", "eu-west-1")
    );
    let keys: Vec<&str> = root.keys.iter().map(|key| key.id().as_str()).collect();
    assert_eq!(keys, ["foo", "cat"]);
    let ids: Vec<&str> = example
        .credentials
        .iter()
        .map(|c| c.id().as_str())
        .collect();
    assert_eq!(ids, ["XKSEXAMPLEKEYAAAAAAA"]);
}

#[test]
fn the_text_has_what_the_sample_could_not_say() {
    let text = migrated(SETTINGS).configuration;
    for part in [
        "level = \"warn\"",
        "certificate = \"/old/server.pem\"",
        "ca = \"/old/server.pem\"\nsubjects = [\"kms.example\"]",
        "health_key = \"xks-health\"",
        "id = \"foo\"\nlabel = \"foo\"\ndanger_shared = true\n",
        "id = \"cat\"\nlabel = \"cat\"\n\n",
        "id = \"bar\"\nlabel = \"bar\"\n",
    ] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
    let legacy = "legacy_ciphertexts = [\"aws-samples-v3\"]";
    assert_eq!(text.matches(legacy).count(), 2);
    assert_eq!(text.matches("danger_shared").count(), 2);
}

#[test]
fn every_key_has_a_note_with_its_line() {
    let notes = all_notes(&migrated(SETTINGS));
    let mut table = String::new();
    for (index, line) in SETTINGS.lines().enumerate() {
        if let Some(name) = line.strip_prefix('[') {
            table = name.trim_matches(['[', ']']).to_owned();
        }
        let Some((key, _)) = line.split_once(" = ") else {
            continue;
        };
        let is_noted = notes.iter().any(|note| {
            let has_note = note.line == Some(index + 1) && note.key.ends_with(&format!(".{key}"));
            // A table that is left as a whole stands for its keys.
            has_note || note.key == table && table.contains('.')
        });
        assert!(is_noted, "{table}.{key} has no note");
    }
}

#[test]
fn unknown_keys_are_named_and_harm_nothing() {
    let text = SETTINGS
        .replace("[tls]", "[tls]\nnew_key = 1")
        .replace("[tracing]", "[new_table]\n[tracing]");
    let migration = migrated(&text);
    for key in ["tls.new_key", "new_table"] {
        let left = &migration.notes.not_carried_over;
        assert!(left.iter().any(|note| note.key == key), "{key}: {left:?}");
    }
}

#[test]
fn where_the_ivs_came_from_decides_the_profile() {
    for (makes, zeros, profile) in [
        (false, false, "caller-iv"),
        (false, true, "caller-iv"),
        (true, true, "iv-written-back"),
        (true, false, "iv-appended"),
    ] {
        let to = format!("can_generate_iv = {makes}\nis_zero_iv_required = {zeros}");
        let migration = changed("can_generate_iv = true\nis_zero_iv_required = false", &to);
        let wanted = format!("gcm_profile = \"{profile}\"");
        assert!(migration.configuration.contains(&wanted), "{wanted}");
    }
}
