//! Settings of the sample proxy go in; a configuration that parses, and a note for every key, come out.

use std::path::Path;

use super::*;
use crate::config::{Finding, Loaded, parse};
use crate::hsm::GcmProfile;

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
    create::create_private(&[private_key]).unwrap();
    let migration = convert(text, &origin(directory.path())).unwrap();
    migration.write(directory.path()).unwrap();
    parse(&migration.configuration, directory.path())
}

#[test]
fn the_configuration_parses_and_says_the_same() {
    let configuration = parsed(SETTINGS).unwrap().configuration;
    assert_eq!(configuration.server.listen, ["[::]:443".parse().unwrap()]);
    let hsm = &configuration.hsms[0];
    assert_eq!(hsm.module, Path::new("/opt/hsm/libhsm.so"));
    assert_eq!(hsm.pin.as_ref().unwrap().expose(), "a \"hunter2\" \\ pin");
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
        let is_told = notes.iter().any(|note| {
            let of_key = note.line == Some(index + 1) && note.key.ends_with(&format!(".{key}"));
            // A table that is left as a whole stands for its keys.
            of_key || note.key == table && table.contains('.')
        });
        assert!(is_told, "{table}.{key} has no note");
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

#[test]
fn gaps_stay_gaps_and_check_config_sees_them() {
    let text = SETTINGS
        .replace("XKSROOTKEYAAAAAAAAAA", "")
        .replace("user_pin = 'a \"hunter2\" \\ pin'", "user_pin = ''")
        .replace("tls_key_pem = \"server.key\"", "tls_key_pem = \"\"");
    let faults = parsed(&text).unwrap_err().to_string();
    for part in [
        "server.tls.private_key: is empty",
        "hsm[0].pin: cannot read",
        "key_store[0].credential[0].access_key_id: is empty",
        "key_store[0].credential[0].secret: cannot read",
    ] {
        assert!(faults.contains(part), "{part} is not in:\n{faults}");
    }
    let migration = migrated(&text);
    assert_to_do(&migration, "pkcs11.user_pin", "hsm.pin");
    assert_to_do(&migration, "tls.tls_key_pem", "server.tls.private_key");
    let key = "external_key_stores[0].sigv4_access_key_id";
    assert_to_do(
        &migration,
        key,
        "credential new --path-prefix \"\" --secret-file root.secret",
    );
    let without_label = Origin {
        token_label: None,
        ..origin(Path::new("/old"))
    };
    let migration = convert(SETTINGS, &without_label).unwrap();
    assert!(migration.configuration.contains("token = {}"));
    assert_to_do(&migration, "pkcs11", "hsm.token");
}

#[test]
fn what_was_switched_off_is_said_loudly() {
    let migration = changed(
        "is_sigv4_auth_enabled = true",
        "is_sigv4_auth_enabled = false",
    );
    assert_to_do(
        &migration,
        "security.is_sigv4_auth_enabled",
        "must be signed",
    );
    let migration = changed("is_tls_enabled = true", "is_tls_enabled = false");
    assert_to_do(&migration, "security.is_tls_enabled", "only TLS");
    let migration = migrated(SETTINGS);
    assert_to_do(&migration, "security.secondary_auth", "not carried over");
    assert_to_do(&migration, "tls.mtls_client_dns_name", "common name");
    assert_to_do(
        &migration,
        "external_key_stores",
        "\"foo\" is in the stores root, example-prefix",
    );
    let migration = changed("port = 443", "port = 80");
    assert_to_do(&migration, "server.port", "443");
    let migration = changed(SECRET, "PleaseReplaceThisWithSomeSecretOfLength43To64");
    let key = "external_key_stores[1].sigv4_secret_access_key";
    assert_to_do(&migration, key, "placeholder");
}

#[test]
fn without_mtls_no_client_certificate_is_asked_for() {
    let migration = changed("is_mtls_enabled = true", "is_mtls_enabled = false");
    assert!(!migration.configuration.contains("client_auth"));
    let start = SETTINGS.find("[tls]").unwrap();
    let end = SETTINGS.find("[[external").unwrap();
    let no_tls = SETTINGS.replace(&SETTINGS[start..end], "");
    let migration = migrated(&no_tls.replace("is_mtls_enabled = true", "is_mtls_enabled = false"));
    assert_to_do(&migration, "tls", "server.tls");
    // With mTLS switched on and no authority to trust, dropping it would let everybody in.
    let faults = convert(&no_tls, &origin(Path::new("/old"))).unwrap_err();
    assert!(faults.to_string().contains("tls: is missing"), "{faults}");
}

#[test]
fn the_module_behind_the_logger_is_used() {
    let direct = changed("\"/opt/pkcs11-logger-x64.so\"", "'hsm/lib \"x\".so'");
    assert!(
        direct
            .configuration
            .contains(r#"module = "/old/hsm/lib \"x\".so""#)
    );
    let unknown = changed(
        "LIBRARY_PATH = \"/opt/hsm/libhsm.so\"",
        "LIBRARY_PATH = \"\"",
    );
    assert_to_do(&unknown, "pkcs11.PKCS11_HSM_MODULE", "unknown library");
}

#[test]
fn stores_get_names_of_their_own() {
    for (prefix, name) in [
        ("/root", "root-2"),
        ("/a.b/../c d", "a-b----c-d"),
        ("/a/\u{e9}\n", "a---"),
        (&format!("/{}", "x".repeat(99)), &"x".repeat(56)),
    ] {
        let quoted = format!("{prefix:?}").replace("\\u{e9}", "\u{e9}");
        let migration = changed("\"/example/prefix\"", &quoted);
        let line = format!("name = \"{name}\"\n");
        assert!(
            migration.configuration.contains(&line),
            "{}",
            migration.configuration
        );
        assert_eq!(migration.secrets[2].0, format!("{name}.secret"));
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn bad_settings_are_told_all_at_once_and_nothing_is_made() {
    for (from, to, fault) in [
        (
            "ip = \"::\"",
            "ip = \"localhost\"",
            "line 3: server.ip: \"localhost\" is no IP address",
        ),
        ("ip = \"::\"", "", "server.ip: is missing"),
        (
            "port = 443",
            "port = 70000",
            "server.port: must be from 1 to 65535",
        ),
        (
            "port = 443",
            "port = \"443\"",
            "server.port: must be a whole number, not string",
        ),
        ("[pkcs11]", "[pkcs12]", "pkcs11: is missing"),
        (
            "is_tls_enabled = true",
            "is_tls_enabled = 1",
            "must be true or false, not integer",
        ),
        (
            "[hsm_capabilities]",
            "[hsm]",
            "hsm_capabilities: is missing",
        ),
        ("user_pin", "pin", "pkcs11.user_pin: is missing"),
        (
            "mtls_client_ca_pem = \"server.pem\"",
            "",
            "tls.mtls_client_ca_pem: is missing",
        ),
        (
            "[\"foo\", \"bar\"]",
            "\"foo\"",
            "external_key_stores[1].xks_key_id_set: must be a list of strings",
        ),
        (
            "sigv4_access_key_id",
            "access_key",
            "external_key_stores[0].sigv4_access_key_id: is missing",
        ),
        ("[tls]", "[tls", "is not TOML"),
        (
            "[[external_key_stores]]",
            "[[key_stores]]",
            "external_key_stores: is missing",
        ),
    ] {
        assert!(SETTINGS.contains(from), "{from}");
        let faults = convert(&SETTINGS.replace(from, to), &origin(Path::new("/old")));
        let faults = faults.unwrap_err().to_string();
        assert!(faults.contains(fault), "{fault} is not in:\n{faults}");
    }
    let faults = convert("", &origin(Path::new("/old"))).unwrap_err();
    assert_eq!(faults.0.len(), 5, "{faults}");
}

#[test]
fn no_note_and_no_fault_quotes_a_secret() {
    let migration = migrated(SETTINGS);
    let text = format!("{migration:?}");
    assert!(
        !text.contains(SECRET) && !text.contains("hunter2"),
        "{text}"
    );
    // Cut anywhere, or with any one character damaged, the settings are a fault or a configuration, and never a panic.
    for (end, _) in SETTINGS.char_indices() {
        let damaged = format!("{}\u{0}{}", &SETTINGS[..end], &SETTINGS[end + 1..]);
        for text in [&SETTINGS[..end], &damaged] {
            if let Err(faults) = convert(text, &origin(Path::new("/old"))) {
                let told = faults.to_string();
                assert!(
                    !told.contains("Zq3W") && !told.contains("hunter2"),
                    "{told}"
                );
            }
        }
    }
}

#[test]
fn files_in_the_way_stay_and_nothing_is_left_behind() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("new");
    let migration = migrated(SETTINGS);
    let files = migration.write(&directory).unwrap();
    assert_eq!(files.len(), 4);
    assert!(matches!(
        migration.write(&directory),
        Err(CreateError::Exists(_))
    ));
    for kept in &files {
        let other = tempfile::tempdir().unwrap();
        let kept = other.path().join(kept.file_name().unwrap());
        std::fs::write(&kept, "precious").unwrap();
        assert!(migration.write(other.path()).is_err());
        assert_eq!(std::fs::read_dir(other.path()).unwrap().count(), 1);
        assert_eq!(std::fs::read_to_string(&kept).unwrap(), "precious");
    }
}

#[test]
fn files_that_are_no_text_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("settings.toml");
    std::fs::write(&file, b"[server]\nip = \"\xff\"").unwrap();
    let faults = migrate(&file, &origin(directory.path())).unwrap_err();
    assert!(faults.to_string().contains("valid UTF-8"), "{faults}");
    let faults = migrate(&directory.path().join("none"), &origin(directory.path())).unwrap_err();
    assert!(faults.to_string().contains("cannot read"), "{faults}");
}
