//! Checkpoints: the HSM says that the chain was here.
//!
//! # Invariants
//! - A seal speaks for every line up to its position, for the chain is cumulative: a checkpoint without a seal leaves no gap once a
//!   later one has it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::chain::Position;
use super::record::{Entry, Kind};
use crate::hex;

/// How many lines may lie between a position and the checkpoint that seals it: so many hashes a verification remembers.
pub(super) const MAX_LAG: usize = 65_536;

/// A seal that is being made.
pub type Sealing = Pin<Box<dyn Future<Output = Result<SealedHead, String>> + Send>>;

/// Who seals: AES-GCM over [`Position::aad`] with a key of its own.
pub trait Seal: Send + Sync {
    /// Seals the position, or says why not. Given up after [`super::CheckpointSettings::seal_timeout`].
    fn seal(&self, head: Position) -> Sealing;
}

/// Who checks seals.
pub trait Unseal {
    /// Whether the seal is genuine.
    ///
    /// # Errors
    /// Why that could not be found out.
    fn open(&self, checkpoint: &Checkpoint) -> Result<bool, String>;
}

/// A sealer, and the runtime on which it works: the writer's thread never waits for a device.
#[derive(Clone)]
pub struct Sealer {
    /// Who seals.
    pub seal: Arc<dyn Seal>,
    /// Where.
    pub runtime: tokio::runtime::Handle,
}

/// What the HSM made of a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedHead {
    /// The device.
    pub hsm: String,
    /// The label of the key.
    pub key: String,
    /// The IV that the device used.
    pub iv: Vec<u8>,
    /// The ciphertext (of nothing, or of what the sealer chose) with the tag behind it.
    pub sealed: Vec<u8>,
}

/// A sealed checkpoint as read from a trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Up to where it speaks.
    pub head: Position,
    /// The seal.
    pub seal: SealedHead,
}

/// The outcome of an attempt to seal, as it comes back to the writer.
pub(super) struct Attempt {
    pub head: Position,
    pub outcome: Result<SealedHead, String>,
}

impl Attempt {
    /// An attempt that ended without an outcome.
    pub(super) fn unanswered(head: Position) -> Self {
        let outcome = Err("the attempt ended unexpectedly".into());
        Self { head, outcome }
    }

    /// Waits for the seal, but not longer than `patience`.
    pub(super) async fn make(seal: Arc<dyn Seal>, head: Position, patience: Duration) -> Self {
        let sealed = tokio::time::timeout(patience, seal.seal(head)).await;
        let outcome = sealed.unwrap_or_else(|_| Err("the HSM did not answer in time".into()));
        Self { head, outcome }
    }

    /// The line about it.
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

/// What a checkpoint's line says.
pub(super) enum Read {
    Sealed(Checkpoint),
    Unsealed,
}

/// Reads the line of a checkpoint; none when it does not say what one must.
pub(super) fn read(line: &[u8]) -> Option<Read> {
    let members: Members = serde_json::from_slice(line).ok()?;
    if members.unsealed.is_some() {
        return Some(Read::Unsealed);
    }
    let head = Position {
        seq: members.through,
        hash: hex::decode_lower(&members.head)?.try_into().ok()?,
    };
    let seal = SealedHead {
        hsm: members.hsm?,
        key: members.key?,
        iv: hex::decode_lower(&members.iv?)?,
        sealed: hex::decode_lower(&members.sealed?)?,
    };
    Some(Read::Sealed(Checkpoint { head, seal }))
}
