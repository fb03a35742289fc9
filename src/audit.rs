//! The audit trail: one JSON line per request that passed authentication, and per security event.
//!
//! What it promises: with `on_failure = "refuse"` no answer leaves before its line has reached the file (and, with `sync = "batch"`,
//! the disk). Each line carries the hash of the one before; checkpoints of that chain are authenticated by the HSM, so that
//! [`verify()`] finds what was changed, removed, inserted, reordered or, up to the last checkpoint, cut off.
//!
//! # Invariants
//! - No plaintext, ciphertext, IV or secret has a field here, and a caller's text stays within its line: lines are ASCII.
//! - `seq` grows by one from line to line, whatever the clock does, across files, restarts and failures.
//! - A line is whole or it is not there: what a failed write has left behind is taken back before the next one, what a crash has
//!   left behind is set aside in a file of its own and recorded.
//! - A start never uses a number twice: `<trail>.position` beside the trail names the last acknowledged line, also when its file was
//!   renamed, compressed, moved away or deleted.
//! - One process writes one trail: the lock is held from opening to stopping.
//! - A file that is not an audit trail of this schema is never written to.
//!
//! # Schema, version 1
//! Every line is an object. It begins with these members in this order, and ends with `hash`:
//!
//! | member | meaning |
//! | --- | --- |
//! | `v` | 1, the version of this schema; members may be added within a version, none changes its meaning |
//! | `seq` | the line's number; the first of a trail has 1 |
//! | `time` | RFC 3339, UTC, six decimals: when it happened |
//! | `prev` | `hash` of the line before; 64 zeros in the first of a trail |
//! | `kind` | `request`, `security`, `checkpoint`, `recovered`, `correction`, `start` or `stop` |
//! | … | what the kind adds: [`Request`], [`Security`], the list below |
//! | `hash` | SHA-256, in lower-case hexadecimal, of the line's bytes before `,"hash"` |
//!
//! - `request`: `key_store`, `operation`, `key_id`, `key_version`, `legacy`, `hsm`, `access_key_id`, `peer`, `client`, `vpc_endpoint`,
//!   `client_subject`, `request_metadata` (an object with the names of the XKS API), `outcome` (`ok`, `refused`, `failed`,
//!   `client_disconnected`: no answer was taken), `status`, `error_name`,
//!   `reason`, `policies`, `request_bytes`, `response_bytes`, `duration_us`, `queue_us`, `device_us`, `hsm_calls`. What is not known is not there.
//! - `security`: `event`, and what applies of `key_store`, `hsm`, `access_key_id`, `peer`, `client`, `vpc_endpoint`, `source`, `count`,
//!   `client_subject`, `state`, `reason`. `peer` is the other end of the socket; `client` and `vpc_endpoint` are what a load balancer's PROXY header says. `count` says for how many events the line stands; without it, for one.
//! - `checkpoint`: `through` and `head`, the `seq` and `hash` of the line up to which it speaks for the chain; `hsm`, `key`, `iv`
//!   and `sealed` (AES-GCM ciphertext and tag over [`Position::aad`]); or `unsealed`: why the HSM did not seal.
//! - `recovered`: `cause` `torn_line` with `bytes`, `sha256` and `file` of what a crash left behind; or `cause` `unrecorded` with
//!   `unrecorded`, the number of entries that have no line (refused or lost, as `on_failure` says), and `error`.
//!   Or, when a start found the end of the chain damaged: `cause` `missing` with `first` and `last`, the numbers of acknowledged lines that
//!   are in no file beside the trail (`first` is 1 when no line is there); `cause` `replaced` with `line` and `was`, the number and the known hash of the last line; or `cause` `unknown_position`
//!   with `error`, when a file could not be read, or the lock file is there and nothing else, and nothing says where the chain was.
//! - `correction`: `corrects`, the number of a request's line that says what was not answered after all, and the members of `request` with
//!   what was.
//! - `start`, `stop`: `version`, `pid`.

mod chain;
mod checkpoint;
mod error;
mod metrics;
mod reading;
mod record;
mod settings;
mod trail;
mod verify;
mod writing;

pub use chain::Position;
pub use checkpoint::{Checkpoint, Seal, SealedHead, Sealer, Sealing, Unseal};
pub use error::AuditError;
pub use metrics::AuditMetrics;
pub use reading::{Breaks, LeftOut, Lines, Listing, in_order, list_trail, trail_files};
pub use record::{Entry, Kind, Outcome, Request, Security};
pub use settings::{AuditSettings, CheckpointSettings, OnFailure, RotateSettings, SyncPolicy};
pub use trail::{Recording, Trail};
pub use verify::{ChainFault, Damage, Place, Verification, verify};
pub use writing::last_recorded;

#[cfg(test)]
mod tests;
