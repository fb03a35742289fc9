//! The settings of the audit trail.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::reading::directory_of;

/// The settings of the audit trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditSettings {
    /// The current file. Rotated files and the lock file are in the same directory.
    pub path: PathBuf,
    /// The effect on a request that cannot be recorded.
    pub on_failure: OnFailure,
    /// When a line counts as recorded.
    pub sync: SyncPolicy,
    /// The maximum number of entries in the queue; at least 1.
    pub queue: usize,
    /// The label (`CKA_LABEL`) of the AES-256 key with which the HSM seals checkpoints. None: checkpoints have no seal.
    pub key: Option<String>,
    /// When the HSM seals a checkpoint.
    pub checkpoint: CheckpointSettings,
    /// When a new file is started.
    pub rotate: RotateSettings,
}

impl AuditSettings {
    /// Returns the default settings of an audit trail at `path`.
    pub fn at(path: PathBuf) -> Self {
        Self {
            path,
            on_failure: OnFailure::Refuse,
            sync: SyncPolicy::Batch,
            queue: 4096,
            key: None,
            checkpoint: CheckpointSettings::default(),
            rotate: RotateSettings::default(),
        }
    }

    /// Returns the directory of the audit trail, in which it creates and renames files.
    pub fn directory(&self) -> &Path {
        directory_of(&self.path)
    }

    /// Returns the files with fixed names: the current file, the lock file and the position file.
    pub fn files(&self) -> [PathBuf; 3] {
        let beside = |suffix: &str| {
            let mut name = self.path.clone().into_os_string();
            name.push(suffix);
            PathBuf::from(name)
        };
        ["", LOCK, POSITION].map(beside)
    }
}

/// The suffixes of the lock file and the position file.
pub(super) const LOCK: &str = ".lock";
pub(super) const POSITION: &str = ".position";

/// The effect on a request that cannot be recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// The request is rejected.
    Refuse,
    /// The request is served, and its entry is counted as lost.
    Continue,
}

/// When a line counts as recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncPolicy {
    /// After `fdatasync`, with one call for all lines in the queue. The line survives a power failure.
    Batch,
    /// After `write`. The line survives a crash of the proxy, but not of the machine.
    None,
}

/// When the HSM seals a checkpoint: after `lines` or after `interval`, whichever comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckpointSettings {
    /// The number of lines between checkpoints.
    pub lines: u64,
    /// The interval between checkpoints, if there are new lines.
    pub interval: Duration,
    /// The time limit of the HSM. After it, the checkpoint is written without a seal.
    pub seal_timeout: Duration,
}

impl Default for CheckpointSettings {
    fn default() -> Self {
        Self {
            lines: 10_000,
            interval: Duration::from_secs(60),
            seal_timeout: Duration::from_secs(5),
        }
    }
}

/// When a new file is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RotateSettings {
    /// The size, in bytes, from which a new file is started. None: the size has no effect.
    pub size: Option<u64>,
    /// True if the first line of a new day (UTC) starts a new file.
    pub daily: bool,
}

impl Default for RotateSettings {
    fn default() -> Self {
        Self {
            size: Some(256 * 1024 * 1024),
            daily: true,
        }
    }
}
