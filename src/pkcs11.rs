//! The worker's side of an HSM: the PKCS#11 library, one token of it, its sessions and its keys.
//!
//! ```text
//!  front ── Job ──▶ session thread ──▶ PKCS#11 library ──▶ HSM        one thread and one session for each channel
//!  front ◀── News ── health monitor ──▶ PKCS#11 library               opens, probes, checks, proves keys
//! ```
//!
//! - The **health monitor** opens the token, probes how it does AES-GCM, holds one session and with it the login, and checks the health of the
//!   HSM with a key that KMS never uses. Between the checks it proves, one at a time, that each key that the configuration expects can encrypt
//!   and decrypt.
//! - A **session** does one job after the other. Key handles are cached: no request searches the token. A lost session or login is opened
//!   again in place. After a more serious error the worker reports that the HSM failed, and the front replaces the worker.
//! - [`OpenToken`] is what a worker of an operator's command does on a token: list its keys, make one, compare the keys of two tokens.
//!
//! # From a job to the HSM
//! `worker::run` → [`Token::serve`] → `health_monitor` opens the token and starts the sessions → `sessions` waits for a job →
//! `sessions/device_session.rs` finds the key in `keys/table.rs` → `aes_gcm/gcm.rs` chooses IV and parameters → `aes_gcm/call.rs` →
//! `library/ffi.rs` calls `C_EncryptInit` and `C_Encrypt`. An error goes back to `sessions/device_session/settle.rs`.
//!
//! # Parts
//! Each part imports only parts above it in this table; `tests/architecture` enforces it.
//!
//! | part | content |
//! | --- | --- |
//! | `library` | functions, return codes and C structures of the PKCS#11 library |
//! | `token` | slot, sessions, login |
//! | `keys` | key handles and attributes |
//! | `aes_gcm` | GCM profiles, encryption, decryption |
//! | `health_key` | probe and health check with the health key |
//! | `error_attribution` | which errors are the HSM's, the key's or the request's |
//! | `key_proofs` | proof that a key works, and its results |
//! | `worker_state` | what the threads of a worker share; lock order |
//! | `sessions` | the thread of a session, its jobs, recovery |
//! | `health_monitor` | the thread that opens the token, checks its health and proves its keys |
//! | `administration` | commands of the operator |
//!
//! # Invariants
//! - A PIN that the token rejects is tried once; the worker ends with it.
//! - No return code by itself means that the HSM failed: the health key settles on the same session whether the HSM, the key or the request
//!   is to blame. A key that the HSM rejects costs the other keys nothing.
//! - A wrong output (see `library::errors::Violation`) is reported before anything else is answered, and is never returned.
//! - `unsafe` is in `library/ffi.rs` only.

mod administration;
mod aes_gcm;
mod error_attribution;
mod health_key;
mod health_monitor;
mod key_proofs;
mod keys;
mod library;
mod sessions;
mod token;
mod worker_state;

use std::sync::Arc;

pub use administration::{AdministrationError, CreateKeyError, KeyObject, OpenToken, TokenKeys};
pub use sessions::JobChannel;
pub use token::login_record::LoginRecord;
pub use worker_state::Reporter;

use crate::ekm::ExpectedKey;
use crate::hsm_protocol::{News, Pkcs11Settings, ProofId};
use crate::secret::Secret;
use health_monitor::HealthMonitor;
use worker_state::WorkerState;

/// One token, as a worker serves it. Clones are the same.
#[derive(Clone)]
pub struct Token(Arc<WorkerState>);

impl Token {
    /// Opens nothing yet. Reports for the front go to `news`.
    pub fn new(
        settings: Pkcs11Settings,
        pin: Option<Secret>,
        logins: Arc<dyn LoginRecord>,
        news: Reporter,
    ) -> Self {
        Self(Arc::new(WorkerState::new(settings, pin, logins, news)))
    }

    /// The token held keys before: without keys it is not served.
    pub fn held_keys(&self) {
        self.0.note_keys();
    }

    /// These key objects were proved by a worker that served before.
    pub fn recall_proofs(&self, objects: Vec<ProofId>) {
        objects.into_iter().for_each(|id| self.0.memory.recall(id));
    }

    /// Expects these keys, and no others.
    pub fn expect_keys(&self, keys: Vec<ExpectedKey>) {
        self.0.expect(keys);
    }

    /// Ends [`Self::serve`].
    pub fn end(&self) {
        self.0.end();
    }

    /// Opens the token and serves the jobs of the channels, with a session for each, until [`Self::end`]. A token that cannot be opened is
    /// reported.
    pub fn serve(&self, channels: Vec<impl JobChannel>) {
        match HealthMonitor::open(&self.0, channels) {
            Ok(monitor) => {
                let module = monitor.module();
                monitor.run();
                module.finalize();
            }
            Err(error) => self.0.report(News::NotOpened {
                reason: error.to_string(),
                is_final: error.is_final(),
                is_limit: error.is_about_limits(),
            }),
        }
    }
}
