//! The audit trail: one JSON line for each request that passed authentication, and for each security event.
//!
//! With `on_failure = "refuse"`, no response is sent before its line is in the file and, with `sync = "batch"`, on the disk. Each line
//! contains the hash of the previous line. The HSM authenticates checkpoints of this chain. Therefore [`verify()`] finds changed, removed,
//! inserted and reordered lines. It finds the removal of the last lines up to the last checkpoint.
//!
//! # Invariants
//! - No field is for a plaintext, a ciphertext, an IV or a secret. Lines are ASCII, so the text of a caller stays within its line.
//! - `seq` increases by one from line to line, across files, restarts, failures and changes of the clock.
//! - A line is complete or absent. Bytes that a failed write left are removed before the next write. Bytes that a crash left are moved to a
//!   separate file and recorded.
//! - No start uses a number twice: `<trail>.position` beside the audit trail contains the last acknowledged line, even if its file was renamed,
//!   compressed, moved away or deleted.
//! - Only one process writes an audit trail: the lock is held from opening to stopping.
//! - A file that is not an audit trail of this schema is never changed.
//!
//! # Schema, version 1
//! Every line is a JSON object. It begins with these members in this order, and ends with `hash`:
//!
//! | member | meaning |
//! | --- | --- |
//! | `v` | 1, the version of this schema. Members can be added within a version; no member changes its meaning |
//! | `seq` | the number of the line; the first line of an audit trail has 1 |
//! | `time` | the time of the event: RFC 3339, UTC, six decimals |
//! | `prev` | `hash` of the previous line; 64 zeros in the first line of an audit trail |
//! | `kind` | `request`, `security`, `checkpoint`, `recovered`, `correction`, `start` or `stop` |
//! | … | members of the kind: see [`Request`], [`Security`] and the list below |
//! | `hash` | SHA-256 of the line's bytes before `,"hash"`, in lower-case hexadecimal |
//!
//! - `request`: `key_store`, `operation`, `key_id`, `key_version`, `legacy`, `hsm`, `access_key_id`, `peer`, `client`, `vpc_endpoint`,
//!   `client_subject`, `client_certificate`, `request_metadata` (an object with the names of the XKS API), `outcome` (`ok`, `refused`,
//!   `failed`, or `client_disconnected`: the client did not receive the response), `status`, `error_name`, `reason`, `policies`,
//!   `request_bytes`, `response_bytes`, `duration_us`, `queue_us`, `device_us`, `hsm_calls`. Unknown values have no member.
//! - `security`: `event`, and the applicable ones of `key_store`, `hsm`, `access_key_id`, `peer`, `client`, `vpc_endpoint`, `source`,
//!   `count`, `client_subject`, `client_certificate`, `state`, `reason`. `peer` is the peer address of the socket. `client` and
//!   `vpc_endpoint` are from the load balancer's PROXY header. `count` is the number of events that the line represents; without it, the
//!   line represents one event.
//! - `checkpoint`: `through` and `head`, the `seq` and `hash` of the last line that the checkpoint covers; and either `hsm`, `key`, `iv`
//!   and `sealed` (AES-GCM ciphertext and tag over [`Position::aad`]), or `unsealed`, the reason why the seal is missing.
//! - `recovered`, with one of these values of `cause`:
//!   - `torn_line`: a crash left bytes after the last line. `bytes`, `sha256` and `file` describe them.
//!   - `unrecorded`: entries have no line. `unrecorded` is their number, and `error` is the reason. The requests were rejected or served,
//!     depending on `on_failure`.
//!   - `missing`: a start did not find the acknowledged lines `first` to `last` in any file beside the audit trail. `first` is 1 when no
//!     line was found.
//!   - `replaced`: the last line was replaced. `line` is its number and `was` is its known hash.
//!   - `unknown_position`: the end of the chain is uncertain, because a file could not be read or only the lock file exists. `error` is the reason.
//! - `correction`: corrects the line of a request whose recorded response was not sent. `corrects` is the number of that line. The other
//!   members are those of `request`, with the actual outcome.
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
pub use checkpoint::{Checkpoint, Seal, SealFuture, SealVerifier, Sealer, SealerHandle};
pub use error::AuditError;
pub use metrics::AuditMetrics;
pub use reading::{Breaks, LeftOut, Lines, Listing, in_order, list_audit_trail, trail_files};
pub use record::{Entry, Kind, Outcome, Request, Security};
pub use settings::{AuditSettings, CheckpointSettings, OnFailure, RotateSettings, SyncPolicy};
pub use trail::{Recording, Trail};
pub use verify::{ChainFault, Damage, ReportedLine, Verification, verify};
pub use writing::last_recorded;

#[cfg(test)]
mod tests;
