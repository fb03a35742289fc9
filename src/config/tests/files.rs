//! Secrets, unreadable files, and the sample configurations.

use std::fs;
use std::path::PathBuf;

use super::{GOOD, directory, load_text};
use crate::config::{load, parse};

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
fn missing_and_empty_files_are_errors() {
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
