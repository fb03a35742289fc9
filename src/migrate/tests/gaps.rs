//! Tests for settings of the sample proxy that lack a value or have it in a different form.

use super::*;

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
fn disabled_protection_is_in_the_notes() {
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
    assert_to_do(&migration, "tls.mtls_client_dns_name", "\"optional\"");
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
fn without_mtls_no_client_certificate_is_requested() {
    let migration = changed("is_mtls_enabled = true", "is_mtls_enabled = false");
    assert!(!migration.configuration.contains("client_auth"));
    let start = SETTINGS.find("[tls]").unwrap();
    let end = SETTINGS.find("[[external").unwrap();
    let no_tls = SETTINGS.replace(&SETTINGS[start..end], "");
    let migration = migrated(&no_tls.replace("is_mtls_enabled = true", "is_mtls_enabled = false"));
    assert_to_do(&migration, "tls", "server.tls");
    // If mTLS is enabled without a trusted authority, dropping mTLS would permit every client.
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
fn stores_get_unique_names() {
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
