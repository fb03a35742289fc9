//! The state file.
//!
//! # Invariants
//! - The file is replaced as a whole. A file that cannot be parsed is not changed, and the simulator does not start.
//! - One simulator at a time uses the file: [`StateFile`] holds a lock.
//! - The file has key material and secrets, so its mode is 0600.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::simulator::state::{KmsState, VERSION};

/// The reason why a state file cannot be used.
#[derive(Debug, Error)]
pub enum StateError {
    /// Another simulator uses it.
    #[error("{0} is in use by another simulator")]
    Locked(PathBuf),
    /// It cannot be read or written.
    #[error("{0} cannot be used: {1}")]
    Unusable(PathBuf, io::Error),
    /// It is not a complete state. The numbers are a line and a column.
    #[error(
        "{0} is not a complete state of this simulator (line {1}, column {2}); the file was not changed. Move it away to start with an empty state"
    )]
    Corrupt(PathBuf, usize, usize),
    /// Its format has a different version.
    #[error(
        "{0} has the state format {1}, which this version does not support; the file was not changed"
    )]
    Version(PathBuf, u32),
}

/// The locked state file.
pub(in crate::simulator) struct StateFile {
    path: PathBuf,
    _lock: File,
}

impl StateFile {
    /// Locks the file and reads its state. The state is empty if the file does not exist.
    pub(in crate::simulator) fn open(path: &Path) -> Result<(Self, KmsState), StateError> {
        let lock = lock(path)?;
        let file = Self {
            path: path.to_owned(),
            _lock: lock,
        };
        let state = match fs::read(path) {
            Ok(text) => parse(path, &Zeroizing::new(text))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => KmsState::default(),
            Err(error) => return Err(StateError::Unusable(path.to_owned(), error)),
        };
        Ok((file, state))
    }

    /// Replaces the content of the file.
    pub(in crate::simulator) fn write(&self, state: &[u8]) -> io::Result<()> {
        let beside = beside(&self.path, ".new");
        // Remove the rest of an interrupted write.
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

fn parse(path: &Path, text: &[u8]) -> Result<KmsState, StateError> {
    // The error text may quote the file, which has secrets.
    let state: KmsState = serde_json::from_slice(text)
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
    fn an_invalid_state_file_is_rejected_and_not_changed() {
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
                error.contains("was not changed") && !error.contains("SeCrEt"),
                "{error}"
            );
            assert_eq!(fs::read(&path).unwrap(), bad);
        }
    }

    #[test]
    fn two_simulators_cannot_share_a_state_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.json");
        let (first, _) = StateFile::open(&path).unwrap();
        assert!(matches!(StateFile::open(&path), Err(StateError::Locked(_))));
        drop(first);
        assert!(StateFile::open(&path).is_ok());
    }
}
