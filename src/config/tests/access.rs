//! Files that everybody can read or write.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use super::{GOOD, directory};
use crate::config::{Findings, Loaded, load};

/// A directory with `config.toml` and all that it names.
fn with_configuration(text: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = directory();
    let file = directory.path().join("config.toml");
    fs::write(&file, text).unwrap();
    set_mode(&file, 0o644);
    (directory, file)
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Loads the configuration when the file `name` has these permissions.
fn with_mode(text: &str, name: &str, mode: u32) -> Result<Loaded, Findings> {
    let (directory, file) = with_configuration(text);
    set_mode(&directory.path().join(name), mode);
    load(&file)
}

fn warnings(loaded: Result<Loaded, Findings>) -> Vec<String> {
    let warnings = loaded.unwrap().warnings;
    warnings.iter().map(ToString::to_string).collect()
}

const SECRETS: [(&str, &str); 3] = [
    ("pin", "hsm[0].pin: everybody can read "),
    (
        "secret",
        "key_store[0].credential[0].secret: everybody can read ",
    ),
    ("server.key", "server.tls.private_key: everybody can read "),
];

#[test]
fn a_secret_that_everybody_can_read_is_an_error_unless_it_is_allowed() {
    let allowing = format!("danger_world_readable_secrets = true{GOOD}");
    let forbidding = format!("danger_world_readable_secrets = false{GOOD}");
    for (name, what) in SECRETS {
        for text in [GOOD, &forbidding] {
            let faults = with_mode(text, name, 0o604).unwrap_err().to_string();
            assert!(faults.contains(what), "{faults}");
            assert!(
                faults.contains("(mode 0604); chmod o-r it, or set danger_"),
                "{faults}"
            );
        }
        let found = warnings(with_mode(&allowing, name, 0o604));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(what), "{found:?}");
    }
}

#[test]
fn the_group_may_read_and_write_a_secret() {
    for (name, _) in SECRETS {
        assert!(warnings(with_mode(GOOD, name, 0o660)).is_empty(), "{name}");
    }
}

#[test]
fn the_file_behind_a_link_counts() {
    let (directory, file) = with_configuration(GOOD);
    let path = |name: &str| directory.path().join(name);
    fs::rename(path("pin"), path("real-pin")).unwrap();
    symlink("real-pin", path("pin")).unwrap();
    assert!(load(&file).is_ok());
    set_mode(&path("real-pin"), 0o644);
    let faults = load(&file).unwrap_err().to_string();
    assert!(
        faults.contains("hsm[0].pin: everybody can read"),
        "{faults}"
    );
}

#[test]
fn a_file_that_everybody_can_write_is_an_error_in_any_case() {
    let allowing = format!("danger_world_readable_secrets = true{GOOD}");
    for name in ["config.toml", "server.pem", "server.key", "pin", "secret"] {
        let faults = with_mode(&allowing, name, 0o602).unwrap_err().to_string();
        let message = "everybody can write ";
        assert!(
            faults.contains(message) && faults.contains(name),
            "{name}: {faults}"
        );
        assert!(faults.contains("(mode 0602); chmod o-w it"), "{faults}");
    }
}

#[test]
fn a_directory_in_which_everybody_can_rename_files_is_one_error() {
    let (directory, file) = with_configuration(GOOD);
    set_mode(directory.path(), 0o777);
    let faults = load(&file).unwrap_err();
    assert_eq!(faults.0.len(), 1, "{faults}");
    assert!(faults.to_string().contains("everybody can replace "));
    set_mode(directory.path(), 0o1777);
    assert!(
        load(&file).is_ok(),
        "only the owner of a file can rename it there"
    );
}

#[test]
fn a_library_that_everybody_can_write_is_an_error() {
    let (directory, _) = with_configuration(GOOD);
    let library = directory.path().join("library.so");
    fs::write(&library, "").unwrap();
    set_mode(&library, 0o646);
    let text = GOOD.replace("/usr/lib/softhsm/libsofthsm2.so", "library.so");
    let file = directory.path().join("config.toml");
    fs::write(&file, text).unwrap();
    let faults = load(&file).unwrap_err().to_string();
    assert!(
        faults.contains("hsm[0].module: everybody can write"),
        "{faults}"
    );
}

#[test]
fn a_configuration_with_a_secret_in_it_is_a_secret() {
    let inline = "{ danger_inline = \"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQ\" }";
    let text = GOOD.replace("{ file = \"secret\" }", inline);
    let faults = with_mode(&text, "config.toml", 0o644)
        .unwrap_err()
        .to_string();
    assert!(
        faults.contains("key_store[0].credential[0].secret: everybody can read"),
        "{faults}"
    );
    assert_eq!(warnings(with_mode(&text, "config.toml", 0o640)).len(), 1);
}
