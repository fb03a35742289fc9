//! The record of logins, as a command of the operator uses it: beside a service that runs, or while none runs.
//!
//! # Invariants
//! - A service that runs locks the record: then a command reads it, and changes nothing.
//! - The record is locked briefly, never during a call to a token: a service can start at any time.
//! - A command, too, records an attempt on disk before it makes the attempt.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;

use super::entry::{Asker, Entry};
use super::file::{Directory, read_only};
use crate::hsm_protocol::launch::{LoginOutcome, PinFingerprint, Serial};

type Key = (Serial, PinFingerprint);

/// The record of a service; without a directory it knows nothing.
pub(in crate::launcher) struct CommandRecord {
    directory: Option<PathBuf>,
    /// The operator wants the attempt, whatever the record says.
    tries_rejected: bool,
    running: HashMap<Serial, (Key, Asker, bool)>,
}

impl CommandRecord {
    pub(in crate::launcher) fn new(directory: Option<PathBuf>, tries_rejected: bool) -> Self {
        Self {
            directory,
            tries_rejected,
            running: HashMap::new(),
        }
    }

    /// Counts an attempt.
    ///
    /// # Errors
    /// Why there must be none.
    pub(in crate::launcher) fn begin(&mut self, key: Key, asker: Asker) -> Result<(), String> {
        let Some(path) = self.directory.clone() else {
            return Ok(());
        };
        let tries_rejected = self.tries_rejected;
        let begun = self.change(key, |entry| match entry.begin(&asker) {
            Err(_) if tries_rejected => Ok(false),
            begun => begun,
        });
        match begun {
            Ok(Ok(is_first)) => {
                self.running.insert(key.0, (key, asker, is_first));
                Ok(())
            }
            Ok(Err(reason)) => Err(format!(
                "{reason} (record of logins in {}; --try-rejected-pin makes one attempt all the same)",
                path.display()
            )),
            Err(_) if tries_rejected => Ok(()),
            Err(error) => Err(format!(
                "the record of logins in {} cannot be used: {error}; --try-rejected-pin makes one attempt all the same",
                path.display()
            )),
        }
    }

    /// An attempt ended. What cannot be written now stays counted as an attempt without a report.
    pub(in crate::launcher) fn end(&mut self, serial: Serial, outcome: LoginOutcome) {
        let Some((key, asker, is_first)) = self.running.remove(&serial) else {
            return;
        };
        let ended = self.change(key, |entry| {
            entry.end(&asker, is_first, outcome);
            Ok(())
        });
        drop(ended);
    }

    /// Changes an entry, on the disk if no service runs.
    fn change<T>(
        &self,
        key: Key,
        change: impl FnOnce(&mut Entry) -> Result<T, String>,
    ) -> io::Result<Result<T, String>> {
        let Some(path) = &self.directory else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let locked = match Directory::lock(path) {
            Ok(directory) => Some(directory),
            // A service runs, or this user may only read.
            Err(error) if is_read_only(&error) => None,
            Err(error) => return Err(error),
        };
        let mut entries = read_only(path)?;
        let at = entries.iter().position(|entry| entry.key() == key);
        let mut entry = match at {
            Some(at) => entries.swap_remove(at),
            None => Entry::new(key),
        };
        let changed = change(&mut entry);
        if !entry.says_nothing() {
            entries.push(entry);
        }
        if let Some(directory) = locked {
            directory.write(&entries)?;
        }
        Ok(changed)
    }
}

fn is_read_only(error: &io::Error) -> bool {
    use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem, WouldBlock};
    matches!(
        error.kind(),
        PermissionDenied | ReadOnlyFilesystem | WouldBlock
    )
}

#[cfg(test)]
mod tests {
    use super::super::tests::{asker, key};
    use super::super::{LoginFile, Logins};
    use super::*;

    const REJECTED: LoginOutcome = LoginOutcome::Rejected(0xa0);

    fn record(directory: &std::path::Path, tries_rejected: bool) -> CommandRecord {
        CommandRecord::new(Some(directory.to_owned()), tries_rejected)
    }

    /// One run of a command; returns whether it made an attempt.
    fn attempt(mut record: CommandRecord, outcome: Option<LoginOutcome>) -> Result<(), String> {
        record.begin(key(1, 1), asker("a", 1))?;
        if let Some(outcome) = outcome {
            record.end(key(1, 1).0, outcome);
        }
        Ok(())
    }

    #[test]
    fn a_rejected_pin_is_tried_once_over_all_runs_and_by_the_service_neither() {
        let place = tempfile::tempdir().unwrap();
        let place = place.path();
        assert_eq!(attempt(record(place, false), Some(REJECTED)), Ok(()));
        for _ in 0..5 {
            let refused = attempt(record(place, false), Some(REJECTED)).unwrap_err();
            assert!(
                refused.contains("0xa0") && refused.contains("--try-rejected-pin"),
                "{refused}"
            );
        }
        let (file, entries, warnings) = LoginFile::open(Some(place));
        assert_eq!(warnings, [""; 0]);
        let mut service = Logins::new(file, entries);
        service.begin(1, asker("a", 1), key(1, 1)).unwrap();
        let decision = service.decide().unwrap().1;
        assert_ne!(decision, super::super::Decision::Allowed);
        drop(service);
        // The operator knows better.
        let logged_in = Some(LoginOutcome::LoggedIn);
        assert_eq!(attempt(record(place, true), logged_in), Ok(()));
        assert_eq!(attempt(record(place, false), logged_in), Ok(()));
    }

    #[test]
    fn a_command_that_is_killed_while_it_logs_in_has_made_an_attempt() {
        let place = tempfile::tempdir().unwrap();
        let allowed = (0..4).filter(|_| attempt(record(place.path(), false), None).is_ok());
        assert_eq!(allowed.count(), 2);
    }

    #[test]
    fn beside_a_service_that_runs_the_record_is_read_and_not_written() {
        let place = tempfile::tempdir().unwrap();
        let (file, entries, _) = LoginFile::open(Some(place.path()));
        let mut service = Logins::new(file, entries);
        service.begin(1, asker("a", 1), key(1, 1)).unwrap();
        assert_eq!(service.decide().unwrap().1, super::super::Decision::Allowed);
        service.end(1, REJECTED).unwrap();
        let written = std::fs::read(place.path().join("logins.json")).unwrap();
        assert!(attempt(record(place.path(), false), Some(REJECTED)).is_err());
        let mut other = record(place.path(), false);
        assert_eq!(other.begin(key(2, 1), asker("a", 1)), Ok(()));
        other.end(key(2, 1).0, REJECTED);
        let now = std::fs::read(place.path().join("logins.json")).unwrap();
        assert_eq!(now, written);
    }

    #[test]
    fn a_record_that_cannot_be_read_allows_nothing() {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("logins.json"), "nonsense").unwrap();
        let refused = attempt(record(place.path(), false), None).unwrap_err();
        assert!(refused.contains("cannot be used"), "{refused}");
        assert_eq!(attempt(record(place.path(), true), None), Ok(()));
        assert_eq!(attempt(CommandRecord::new(None, false), None), Ok(()));
    }
}
