//! The record of logins as a file.

use std::fs;

use super::super::*;
use super::{key, requester};

fn opened(path: &std::path::Path) -> (Logins<LoginFile>, Vec<String>) {
    let (file, entries, warnings) = LoginFile::open(Some(path));
    (Logins::new(file, entries), warnings)
}

fn is_allowed(logins: &mut Logins<LoginFile>) -> bool {
    logins.begin(1, requester("a", 1), key(1, 1)).unwrap();
    logins.decide().unwrap().1 == Decision::Allowed
}

#[test]
fn the_record_survives_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    for allowed in [true, true, false, false] {
        let (mut logins, warnings) = opened(directory.path());
        assert_eq!(warnings, [""; 0]);
        assert_eq!(is_allowed(&mut logins), allowed);
        assert_eq!(logins.take_save_error(), None);
    }
}

#[test]
fn an_invalid_file_is_renamed_with_a_warning() {
    let directory = tempfile::tempdir().unwrap();
    let record = directory.path().join("logins.json");
    for text in ["", "nonsense", "{\"version\":2,\"entries\":[]}"] {
        fs::write(&record, text).unwrap();
        let (mut logins, warnings) = opened(directory.path());
        assert!(warnings[0].contains("renamed"), "{warnings:?}");
        let aside = directory.path().join("logins.json.unreadable");
        assert_eq!(fs::read_to_string(aside).unwrap(), text);
        assert!(is_allowed(&mut logins));
        assert!(record.exists());
    }
}

#[test]
fn without_a_directory_the_record_is_in_memory_with_a_warning() {
    let missing = std::path::Path::new("/nonexistent/state");
    for directory in [None, Some(missing)] {
        let (file, entries, warnings) = LoginFile::open(directory);
        assert!(warnings[0].contains("after a restart"), "{warnings:?}");
        let mut logins = Logins::new(file, entries);
        for allowed in [true, true, false] {
            assert_eq!(is_allowed(&mut logins), allowed);
            logins.worker_ended(1);
        }
        assert_eq!(logins.take_save_error(), None);
    }
}

#[test]
fn a_directory_is_used_by_one_service() {
    let directory = tempfile::tempdir().unwrap();
    let (_first, warnings) = opened(directory.path());
    assert_eq!(warnings, [""; 0]);
    let (_second, warnings) = opened(directory.path());
    assert!(warnings[0].contains("another service"), "{warnings:?}");
}

#[test]
fn a_record_that_cannot_be_written_is_reported_and_kept_in_memory() {
    let directory = tempfile::tempdir().unwrap();
    let (mut logins, _) = opened(directory.path());
    // A directory instead of the file: not even root can open it for writing.
    fs::create_dir(directory.path().join("logins.next")).unwrap();
    for allowed in [true, true, false] {
        assert_eq!(is_allowed(&mut logins), allowed);
        logins.worker_ended(1);
    }
    assert!(logins.take_save_error().is_some());
    assert!(!is_allowed(&mut logins));
    assert_eq!(logins.take_save_error(), None, "reported once");
}
