//! The worker's side of an HSM: the PKCS#11 library, one token, its sessions and its keys.
//!
//! ```text
//!  front ── Job ──▶ session thread ──▶ PKCS#11 library ──▶ HSM        one thread and one session for each channel
//!  front ◀── News ── health monitor ──▶ PKCS#11 library               opens, probes, checks, proves keys
//! ```
//!
//! - The **health monitor** opens the token and probes how it does AES-GCM. It keeps one session open, which keeps the login. It checks
//!   the health of the HSM with a key that KMS never uses. Between health checks it proves, one key at a time, that each expected key can
//!   encrypt and decrypt.
//! - A **session** runs one job at a time. Key handles are cached, so no request searches the token. A lost session or login is
//!   reopened in place. After a more serious error the worker reports that the HSM failed, and the front replaces the worker.
//! - [`OpenToken`] is for the workers of operator commands: it lists keys, creates a key, and compares the keys of two tokens.
//!
//! # Call path of a job
//! `worker::run` → [`Token::serve`] → `health_monitor` opens the token and starts the sessions → `sessions` waits for a job →
//! `sessions/device_session.rs` finds the key in `keys/table.rs` → `aes_gcm/gcm.rs` chooses IV and parameters → `aes_gcm/call.rs` →
//! `library/ffi.rs` calls `C_EncryptInit` and `C_Encrypt`. `sessions/device_session/attribution.rs` handles errors.
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
//! | `error_attribution` | whether the HSM, the key or the request caused an error |
//! | `key_proofs` | proofs that keys work, and the results |
//! | `worker_state` | state shared by the threads of a worker; lock order |
//! | `sessions` | the thread of a session, its jobs, recovery |
//! | `health_monitor` | the thread that opens the token, checks its health and proves its keys |
//! | `administration` | operator commands |
//!
//! # Invariants
//! - A PIN that the token rejects is tried once. Then the worker ends.
//! - No return code alone means that the HSM failed. A test with the health key on the same session shows whether the HSM, the key or the
//!   request caused the error. Jobs for a key that the HSM rejects do not delay jobs for other keys.
//! - A wrong output (see `library::errors::Violation`) is reported before any other answer is sent, and is never returned.
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
pub use keys::attributes::ATTRIBUTES as KEY_ATTRIBUTES;
pub use sessions::JobChannel;
pub use token::login_record::LoginRecord;
pub use worker_state::Reporter;

use crate::ekm::ExpectedKey;
use crate::hsm_protocol::{News, Pkcs11Settings, ProofId};
use crate::secret::Secret;
use health_monitor::HealthMonitor;
use worker_state::WorkerState;

/// The token of a worker. Clones share one state.
#[derive(Clone)]
pub struct Token(Arc<WorkerState>);

impl Token {
    /// Creates the state; [`Self::serve`] opens the token. Reports for the front go to `news`.
    pub fn new(
        settings: Pkcs11Settings,
        pin: Option<Secret>,
        logins: Arc<dyn LoginRecord>,
        news: Reporter,
    ) -> Self {
        Self(Arc::new(WorkerState::new(settings, pin, logins, news)))
    }

    /// Notes that the token held keys before. Then it is not served without keys.
    pub fn held_keys(&self) {
        self.0.note_keys();
    }

    /// Notes key objects that a previous worker proved.
    pub fn recall_proofs(&self, objects: Vec<ProofId>) {
        objects.into_iter().for_each(|id| self.0.memory.recall(id));
    }

    /// Replaces the list of expected keys.
    pub fn expect_keys(&self, keys: Vec<ExpectedKey>) {
        self.0.expect(keys);
    }

    /// Ends [`Self::serve`].
    pub fn end(&self) {
        self.0.end();
    }

    /// Opens the token and serves the jobs of the channels, with one session per channel, until [`Self::end`]. Reports a token that cannot
    /// be opened.
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
