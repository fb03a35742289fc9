//! The location of the PIN of a token, and reading the PIN.
//!
//! # Invariants
//! - A reference contains no PIN: it may be copied, compared, sent to another process and shown.
//! - Only [`PinReference::read`] and [`PinReference::warning`] read a PIN. The front must not call them.

use std::env;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error as ThisError;
use zeroize::Zeroizing;

use crate::read_file;
use crate::secret::{Secret, text};

/// The location of a PIN, with a fingerprint of its content. Two references are equal if the PIN was not replaced between them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum PinReference {
    /// The token needs no login.
    #[default]
    None,
    /// A file.
    File {
        /// Absolute, or relative to the working directory.
        path: PathBuf,
        /// The fingerprint when the configuration was read.
        fingerprint: PinFingerprint,
    },
    /// A systemd credential.
    Credential {
        /// The path in the credentials directory of the service.
        path: PathBuf,
        /// The fingerprint when the configuration was read.
        fingerprint: PinFingerprint,
    },
    /// An environment variable of the process that reads the PIN.
    Env {
        /// The name of the variable.
        name: String,
    },
}

/// Distinguishes versions of a PIN file without reading it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinFingerprint {
    /// The device of the file system.
    pub device: u64,
    /// The inode.
    pub inode: u64,
    /// The size in bytes.
    pub size: u64,
    /// The time of the last modification, in seconds since 1970.
    pub modified_seconds: i64,
    /// The nanoseconds of the time of the last modification.
    pub modified_nanoseconds: i64,
}

impl PinFingerprint {
    /// The fingerprint of a file with this metadata.
    pub fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified_seconds: metadata.mtime(),
            modified_nanoseconds: metadata.mtime_nsec(),
        }
    }
}

/// Why a PIN cannot be used. The text never contains the PIN.
#[derive(Debug, ThisError)]
pub enum PinError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    File {
        /// The path.
        path: String,
        /// The error.
        source: io::Error,
    },
    /// The environment variable does not exist.
    #[error("the environment variable {0} is not set (or not text)")]
    Variable(String),
    /// The content is not a valid PIN.
    #[error("{0}")]
    Content(&'static str),
}

impl PinReference {
    /// Reads the current PIN, without comparing the fingerprint. Returns `None` for [`PinReference::None`].
    ///
    /// # Errors
    /// When the file cannot be read within [`read_file::TIMEOUT`], the variable is not set, or the content is not one line of text.
    pub fn read(&self) -> Result<Option<Secret>, PinError> {
        match self.content()? {
            Some(content) => text::parse(&content).map(Some).map_err(PinError::Content),
            None => Ok(None),
        }
    }

    /// Reads the PIN, and returns a warning for the operator: see [`text::warning`].
    pub fn warning(&self) -> Option<&'static str> {
        text::warning(&self.content().ok()??)
    }

    fn content(&self) -> Result<Option<Zeroizing<Vec<u8>>>, PinError> {
        match self {
            Self::None => Ok(None),
            Self::File { path, .. } | Self::Credential { path, .. } => from_file(path).map(Some),
            Self::Env { name } => from_environment(name).map(Some),
        }
    }

    /// The path, if the PIN is in a file.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::File { path, .. } | Self::Credential { path, .. } => Some(path),
            Self::None | Self::Env { .. } => None,
        }
    }

    /// The name of the environment variable, if the PIN is in one.
    pub fn variable(&self) -> Option<&str> {
        match self {
            Self::Env { name } => Some(name),
            Self::None | Self::File { .. } | Self::Credential { .. } => None,
        }
    }

    /// The fingerprint of the file, if the PIN is in a file.
    pub fn fingerprint(&self) -> Option<PinFingerprint> {
        match self {
            Self::File { fingerprint, .. } | Self::Credential { fingerprint, .. } => {
                Some(*fingerprint)
            }
            Self::None | Self::Env { .. } => None,
        }
    }
}

fn from_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, PinError> {
    let contents = read_file::regular(path).map_err(|source| PinError::File {
        path: path.display().to_string(),
        source,
    });
    Ok(contents?.bytes)
}

fn from_environment(name: &str) -> Result<Zeroizing<Vec<u8>>, PinError> {
    match env::var(name) {
        Ok(value) => Ok(Zeroizing::new(value.into_bytes())),
        Err(_) => Err(PinError::Variable(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn reference(path: &Path) -> PinReference {
        PinReference::File {
            path: path.to_owned(),
            fingerprint: PinFingerprint::of(&fs::metadata(path).unwrap()),
        }
    }

    fn error(reference: &PinReference) -> String {
        reference.read().unwrap_err().to_string()
    }

    #[test]
    fn references_to_a_replaced_file_differ() {
        let directory = tempfile::tempdir().unwrap();
        let (path, other) = (directory.path().join("pin"), directory.path().join("new"));
        fs::write(&path, "270831\n").unwrap();
        let first = reference(&path);
        assert_eq!(reference(&path), first);
        fs::write(&other, "270831\n").unwrap();
        fs::rename(&other, &path).unwrap();
        let renamed = reference(&path);
        assert_ne!(renamed, first);
        fs::write(&path, "270832-\n").unwrap();
        assert_ne!(reference(&path), renamed);
    }

    #[test]
    fn each_call_reads_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pin");
        fs::write(&path, "270831\n").unwrap();
        let reference = reference(&path);
        assert_eq!(reference.read().unwrap().unwrap().expose(), "270831");
        fs::write(&path, "a\nb\n").unwrap();
        assert!(reference.read().is_err());
        fs::write(&path, "270832").unwrap();
        assert_eq!(reference.read().unwrap().unwrap().expose(), "270832");
        fs::remove_file(&path).unwrap();
        let gone = error(&reference);
        assert!(
            gone.contains("cannot read") && gone.contains("pin: No such file"),
            "{gone}"
        );
    }

    #[test]
    fn a_variable_is_read_and_one_that_is_missing_is_named() {
        let named = |name: &str| PinReference::Env { name: name.into() };
        assert!(named("PATH").read().unwrap().is_some());
        let missing = error(&named("XKS_TEST_UNSET_VARIABLE"));
        assert!(
            missing.contains("XKS_TEST_UNSET_VARIABLE is not set"),
            "{missing}"
        );
        assert!(PinReference::None.read().unwrap().is_none());
    }
}
