//! What an operator decides about the audit trail.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::reading::directory_of;

/// The settings of the trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditSettings {
    /// The file that is written now; rotated ones and the lock lie beside it.
    pub path: PathBuf,
    /// What happens to a request that cannot be recorded.
    pub on_failure: OnFailure,
    /// When a line counts as recorded.
    pub sync: SyncPolicy,
    /// How many entries may wait; at least 1.
    pub queue: usize,
    /// The label (`CKA_LABEL`) of the AES-256 key with which the HSM authenticates the chain; none: nobody does.
    pub key: Option<String>,
    /// When the HSM authenticates the chain.
    pub checkpoint: CheckpointSettings,
    /// When a new file is begun.
    pub rotate: RotateSettings,
}

impl AuditSettings {
    /// The trail at `path`, with every default.
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

    /// The directory of the trail, in which it makes and renames files.
    pub fn directory(&self) -> &Path {
        directory_of(&self.path)
    }

    /// The files that have fixed names: the one that is written, the lock and the position file.
    pub fn files(&self) -> [PathBuf; 3] {
        let beside = |suffix: &str| {
            let mut name = self.path.clone().into_os_string();
            name.push(suffix);
            PathBuf::from(name)
        };
        ["", LOCK, POSITION].map(beside)
    }
}

/// What the names of the files beside a trail have behind its name.
pub(super) const LOCK: &str = ".lock";
pub(super) const POSITION: &str = ".position";

/// What happens to a request that cannot be recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// It is not answered.
    Refuse,
    /// It is answered, and counted as lost.
    Continue,
}

/// When a line counts as recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncPolicy {
    /// When `fdatasync` has returned, one call for all lines that waited: it outlives a power failure.
    Batch,
    /// When the operating system has it: it outlives a crash of the proxy, not one of the machine.
    None,
}

/// When the HSM authenticates the chain: whichever comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckpointSettings {
    /// After so many lines.
    pub lines: u64,
    /// After so long, if there are new lines.
    pub interval: Duration,
    /// How long the HSM may take; afterwards the checkpoint is written unsealed.
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

/// When a new file is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RotateSettings {
    /// When the file has at least so many bytes; none: never for its size.
    pub size: Option<u64>,
    /// With the first line of a new day in UTC.
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
