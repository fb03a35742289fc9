//! The file in which the state is kept: whole or not at all.
//!
//! # Invariants
//! - A file that cannot be read is left as it is, and nothing starts.
//! - One simulator at a time: the lock beside the file is held as long as this value lives.
//! - It holds key material and secrets: its mode is 0600.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::simulator::state::{State, VERSION};

/// Why there is no state file.
#[derive(Debug, Error)]
pub enum StateError {
    /// Another simulator has it.
    #[error("{0} is in use by another simulator")]
    Locked(PathBuf),
    /// It cannot be read or written.
    #[error("{0} cannot be used: {1}")]
    Unusable(PathBuf, io::Error),
    /// It is not a state, or only a part of one.
    #[error(
        "{0} is not a whole state of this simulator (line {1}, column {2}); it was left as it is: move it away to begin anew"
    )]
    Corrupt(PathBuf, usize, usize),
    /// It is a state of another version of this program.
    #[error("{0} is a state of form {1}, which this version does not know; it was left as it is")]
    Version(PathBuf, u32),
}

/// The file, locked.
pub(in crate::simulator) struct StateFile {
    path: PathBuf,
    _lock: File,
}

impl StateFile {
    /// Locks the file and reads what is in it; nothing, if it is not there.
    pub(in crate::simulator) fn open(path: &Path) -> Result<(Self, State), StateError> {
        let lock = lock(path)?;
        let file = Self {
            path: path.to_owned(),
            _lock: lock,
        };
        let state = match fs::read(path) {
            Ok(text) => parse(path, &Zeroizing::new(text))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => State::default(),
            Err(error) => return Err(StateError::Unusable(path.to_owned(), error)),
        };
        Ok((file, state))
    }

    /// Puts the state in the place of what was there before.
    pub(in crate::simulator) fn write(&self, state: &[u8]) -> io::Result<()> {
        let beside = beside(&self.path, ".new");
        // What a crash has left.
        drop(fs::remove_file(&beside));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let mut file = options.open(&beside)?;
        file.write_all(state)?;
        file.sync_all()?;
        fs::rename(&beside, &self.path)?;
        let parent = self.path.parent().filter(|parent| *parent != Path::new(""));
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
    }
}

fn lock(path: &Path) -> Result<File, StateError> {
    let unusable = |error| StateError::Unusable(path.to_owned(), error);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(beside(path, ".lock")).map_err(unusable)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StateError::Locked(path.to_owned())),
        Err(error) => Err(unusable(error.into())),
    }
}

fn parse(path: &Path, text: &[u8]) -> Result<State, StateError> {
    // The error's own words may quote the file, which holds secrets.
    let state: State = serde_json::from_slice(text)
        .map_err(|error| StateError::Corrupt(path.to_owned(), error.line(), error.column()))?;
    match state.version {
        VERSION => Ok(state),
        other => Err(StateError::Version(path.to_owned(), other)),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn it_is_whole_or_refused_and_never_touched() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.json");
        let (file, state) = StateFile::open(&path).unwrap();
        let text = serde_json::to_vec(&state).unwrap();
        file.write(&text).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        drop(file);
        assert!(StateFile::open(&path).is_ok());
        for bad in [
            &text[..text.len() - 1],
            b"",
            b"SeCrEt",
            b"{}",
            b"{\"version\":9,\"places\":{}}",
        ] {
            fs::write(&path, bad).unwrap();
            let error = StateFile::open(&path).err().unwrap().to_string();
            assert!(
                error.contains("left as it is") && !error.contains("SeCrEt"),
                "{error}"
            );
            assert_eq!(fs::read(&path).unwrap(), bad);
        }
    }

    #[test]
    fn two_simulators_do_not_share_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.json");
        let (first, _) = StateFile::open(&path).unwrap();
        assert!(matches!(StateFile::open(&path), Err(StateError::Locked(_))));
        drop(first);
        assert!(StateFile::open(&path).is_ok());
    }
}
