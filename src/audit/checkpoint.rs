//! Checkpoints: lines with a seal, which is the HSM's signature of a position in the chain.
//!
//! # Invariants
//! - The chain is cumulative, so a seal covers every line up to its position. A checkpoint without a seal leaves no gap if a later checkpoint
//!   has a seal.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::chain::Position;
use super::record::{Entry, Kind};
use crate::hex;

/// The maximum number of lines between a position and the checkpoint with its seal. A verification keeps this number of hashes in memory.
pub(super) const MAX_LAG: usize = 65_536;

/// The future of a seal.
pub type SealFuture = Pin<Box<dyn Future<Output = Result<Seal, String>> + Send>>;

/// Makes seals: AES-GCM over [`Position::aad`] with a key that has no other use.
pub trait Sealer: Send + Sync {
    /// Seals the position, or returns why that is not possible. The caller drops the future after [`super::CheckpointSettings::seal_timeout`].
    fn seal(&self, head: Position) -> SealFuture;
}

/// Verifies seals.
pub trait SealVerifier {
    /// Returns whether the seal is genuine.
    ///
    /// # Errors
    /// The reason why the seal could not be verified.
    fn is_genuine(&self, checkpoint: &Checkpoint) -> Result<bool, String>;
}

/// A sealer, and the runtime of its futures: the writer's thread does not wait for a device.
#[derive(Clone)]
pub struct SealerHandle {
    /// Makes the seals.
    pub sealer: Arc<dyn Sealer>,
    /// Runs the futures.
    pub runtime: tokio::runtime::Handle,
}

/// A seal: the HSM's signature of a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seal {
    /// The name of the HSM.
    pub hsm: String,
    /// The label of the key.
    pub key: String,
    /// The IV that the device used.
    pub iv: Vec<u8>,
    /// The ciphertext, followed by the tag. The sealer chooses the plaintext, which can be empty.
    pub sealed: Vec<u8>,
}

/// A sealed checkpoint that was read from an audit trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The last line that the seal covers.
    pub head: Position,
    /// The seal.
    pub seal: Seal,
}

/// The outcome of an attempt to seal, for the writer.
pub(super) struct Attempt {
    pub head: Position,
    pub outcome: Result<Seal, String>,
}

impl Attempt {
    /// Returns an attempt that ended without an outcome.
    pub(super) fn unanswered(head: Position) -> Self {
        let outcome = Err("the attempt ended unexpectedly".into());
        Self { head, outcome }
    }

    /// Waits for the seal for at most `timeout`.
    pub(super) async fn make(sealer: Arc<dyn Sealer>, head: Position, timeout: Duration) -> Self {
        let answer = tokio::time::timeout(timeout, sealer.seal(head)).await;
        let outcome = answer.unwrap_or_else(|_| Err("the HSM did not answer in time".into()));
        Self { head, outcome }
    }

    /// Returns the entry of the checkpoint.
    pub(super) fn entry(&self) -> Entry {
        let seal = self.outcome.as_ref();
        Entry::new(
            Kind::Checkpoint,
            &Members {
                through: self.head.seq,
                head: hex::encode(&self.head.hash),
                hsm: seal.ok().map(|s| s.hsm.clone()),
                key: seal.ok().map(|s| s.key.clone()),
                iv: seal.ok().map(|s| hex::encode(&s.iv)),
                sealed: seal.ok().map(|s| hex::encode(&s.sealed)),
                unsealed: seal.err().cloned(),
            },
        )
    }
}

#[derive(Serialize, Deserialize)]
struct Members {
    through: u64,
    head: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hsm: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iv: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sealed: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unsealed: Option<String>,
}

/// The content of a checkpoint's line.
pub(super) enum CheckpointLine {
    Sealed(Checkpoint),
    Unsealed,
}

/// Parses the line of a checkpoint. None when a member is missing or invalid.
pub(super) fn read(line: &[u8]) -> Option<CheckpointLine> {
    let members: Members = serde_json::from_slice(line).ok()?;
    if members.unsealed.is_some() {
        return Some(CheckpointLine::Unsealed);
    }
    let head = Position {
        seq: members.through,
        hash: hex::decode_lower(&members.head)?.try_into().ok()?,
    };
    let seal = Seal {
        hsm: members.hsm?,
        key: members.key?,
        iv: hex::decode_lower(&members.iv?)?,
        sealed: hex::decode_lower(&members.sealed?)?,
    };
    Some(CheckpointLine::Sealed(Checkpoint { head, seal }))
}
