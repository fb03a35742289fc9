//! Settings that cannot be migrated, files in the way, and secrets that must not show.

use super::*;

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn all_errors_are_reported_at_once_and_no_file_is_written() {
    for (from, to, fault) in [
        (
            "ip = \"::\"",
            "ip = \"localhost\"",
            "line 3: server.ip: \"localhost\" is not an IP address",
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
fn notes_and_errors_contain_no_secret() {
    let migration = migrated(SETTINGS);
    let text = format!("{migration:?}");
    assert!(
        !text.contains(SECRET) && !text.contains("hunter2"),
        "{text}"
    );
    // Settings that are cut off anywhere, or have one damaged character, cause errors or a configuration, and never a panic.
    for (end, _) in SETTINGS.char_indices() {
        let damaged = format!("{}\u{0}{}", &SETTINGS[..end], &SETTINGS[end + 1..]);
        for text in [&SETTINGS[..end], &damaged] {
            if let Err(faults) = convert(text, &origin(Path::new("/old"))) {
                let message = faults.to_string();
                assert!(
                    !message.contains("Zq3W") && !message.contains("hunter2"),
                    "{message}"
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
