//! The record of logins for commands of the operator, with or without a running service.
//!
//! # Invariants
//! - A running service locks the record: then a command only reads it.
//! - A command locks the record briefly, never during a call to a token: a service can start at any time.
//! - A command records an attempt on disk before it makes the attempt.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;

use super::entry::{Entry, Requester};
use super::file::{Directory, read_only};
use crate::hsm_protocol::launch::{LoginOutcome, PinFingerprint, Serial};

type LoginKey = (Serial, PinFingerprint);

/// The record of a service. Without a directory, every login is allowed.
pub(in crate::launcher) struct CommandRecord {
    directory: Option<PathBuf>,
    /// True if the operator requests an attempt that the record forbids.
    tries_rejected: bool,
    running: HashMap<Serial, (LoginKey, Requester, bool)>,
}

impl CommandRecord {
    pub(in crate::launcher) fn new(directory: Option<PathBuf>, tries_rejected: bool) -> Self {
        Self {
            directory,
            tries_rejected,
            running: HashMap::new(),
        }
    }

    /// Records an attempt before it is made.
    ///
    /// # Errors
    /// Why there must be no attempt.
    pub(in crate::launcher) fn begin(
        &mut self,
        key: LoginKey,
        requester: Requester,
    ) -> Result<(), String> {
        let Some(path) = self.directory.clone() else {
            return Ok(());
        };
        let tries_rejected = self.tries_rejected;
        let begun = self.change(key, |entry| match entry.begin(&requester) {
            Err(_) if tries_rejected => Ok(false),
            begun => begun,
        });
        match begun {
            Ok(Ok(is_first)) => {
                self.running.insert(key.0, (key, requester, is_first));
                Ok(())
            }
            Ok(Err(reason)) => Err(format!(
                "{reason} (record of logins in {}; --try-rejected-pin makes one attempt nevertheless)",
                path.display()
            )),
            Err(_) if tries_rejected => Ok(()),
            Err(error) => Err(format!(
                "the record of logins in {} cannot be used: {error}; --try-rejected-pin makes one attempt nevertheless",
                path.display()
            )),
        }
    }

    /// Records how an attempt ended. If that cannot be written, the record counts an attempt without a report.
    pub(in crate::launcher) fn end(&mut self, serial: Serial, outcome: LoginOutcome) {
        let Some((key, requester, is_first)) = self.running.remove(&serial) else {
            return;
        };
        let ended = self.change(key, |entry| {
            entry.end(&requester, is_first, outcome);
            Ok(())
        });
        drop(ended);
    }

    /// Changes an entry; on disk only if no service runs.
    fn change<T>(
        &self,
        key: LoginKey,
        change: impl FnOnce(&mut Entry) -> Result<T, String>,
    ) -> io::Result<Result<T, String>> {
        let Some(path) = &self.directory else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let locked = match Directory::lock(path) {
            Ok(directory) => Some(directory),
            // A service runs, or this user has no write permission.
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
        if !entry.is_empty() {
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
    use super::super::tests::{key, requester};
    use super::super::{LoginFile, Logins};
    use super::*;

    const REJECTED: LoginOutcome = LoginOutcome::Rejected(0xa0);

    fn record(directory: &std::path::Path, tries_rejected: bool) -> CommandRecord {
        CommandRecord::new(Some(directory.to_owned()), tries_rejected)
    }

    /// Simulates one run of a command. Returns an error if it may not make an attempt.
    fn attempt(mut record: CommandRecord, outcome: Option<LoginOutcome>) -> Result<(), String> {
        record.begin(key(1, 1), requester("a", 1))?;
        if let Some(outcome) = outcome {
            record.end(key(1, 1).0, outcome);
        }
        Ok(())
    }

    #[test]
    fn a_rejected_pin_is_not_tried_again_by_other_runs_or_the_service() {
        let place = tempfile::tempdir().unwrap();
        let place = place.path();
        assert_eq!(attempt(record(place, false), Some(REJECTED)), Ok(()));
        for _ in 0..5 {
            let error = attempt(record(place, false), Some(REJECTED)).unwrap_err();
            assert!(
                error.contains("0xa0") && error.contains("--try-rejected-pin"),
                "{error}"
            );
        }
        let (file, entries, warnings) = LoginFile::open(Some(place));
        assert_eq!(warnings, [""; 0]);
        let mut service = Logins::new(file, entries);
        service.begin(1, requester("a", 1), key(1, 1)).unwrap();
        let decision = service.decide().unwrap().1;
        assert_ne!(decision, super::super::Decision::Allowed);
        drop(service);
        // The operator requests an attempt.
        let logged_in = Some(LoginOutcome::LoggedIn);
        assert_eq!(attempt(record(place, true), logged_in), Ok(()));
        assert_eq!(attempt(record(place, false), logged_in), Ok(()));
    }

    #[test]
    fn a_command_that_is_killed_during_a_login_has_made_an_attempt() {
        let place = tempfile::tempdir().unwrap();
        let allowed = (0..4).filter(|_| attempt(record(place.path(), false), None).is_ok());
        assert_eq!(allowed.count(), 2);
    }

    #[test]
    fn the_record_of_a_running_service_is_read_and_not_written() {
        let place = tempfile::tempdir().unwrap();
        let (file, entries, _) = LoginFile::open(Some(place.path()));
        let mut service = Logins::new(file, entries);
        service.begin(1, requester("a", 1), key(1, 1)).unwrap();
        assert_eq!(service.decide().unwrap().1, super::super::Decision::Allowed);
        service.end(1, REJECTED).unwrap();
        let written = std::fs::read(place.path().join("logins.json")).unwrap();
        assert!(attempt(record(place.path(), false), Some(REJECTED)).is_err());
        let mut other = record(place.path(), false);
        assert_eq!(other.begin(key(2, 1), requester("a", 1)), Ok(()));
        other.end(key(2, 1).0, REJECTED);
        let now = std::fs::read(place.path().join("logins.json")).unwrap();
        assert_eq!(now, written);
    }

    #[test]
    fn a_record_that_cannot_be_read_allows_nothing() {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("logins.json"), "nonsense").unwrap();
        let error = attempt(record(place.path(), false), None).unwrap_err();
        assert!(error.contains("cannot be used"), "{error}");
        assert_eq!(attempt(record(place.path(), true), None), Ok(()));
        assert_eq!(attempt(CommandRecord::new(None, false), None), Ok(()));
    }
}
