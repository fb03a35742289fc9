//! A PKCS#11 device as a [`KeyManager`](crate::ekm::KeyManager): an actor whose owner threads have one session each.
//!
//! ```text
//!  tokio tasks ── Job{work, deadline, reply} ──▶ queue ──▶ owner threads (a session each) ──▶ the device
//!                                                  ▲               │ fatal fault
//!                                                  └── supervisor ◀┘  opens, probes, closes, reopens
//! ```
//!
//! - The **supervisor** (one thread per device) is a breaker: Probing → Usable → Failed. It never calls the device. It starts a
//!   keeper for each opening, replaces owners that hang inside the device, up to a cap, and opens again after a fatal fault.
//! - The **keeper** (one thread at a time) opens the token, probes how it does AES-GCM, holds one session and with it the login, and
//!   checks the device's health with a key that KMS never uses. Between the checks it proves, one at a time, that each key that the
//!   configuration expects can encrypt and decrypt; requests for a key that cannot are answered without a call of the device.
//! - The **owners** take jobs from the bounded queue. A job whose deadline has passed or whose caller is gone is dropped
//!   before the device is called. Key handles are cached: no request ever searches the token. A lost session or login is mended in
//!   place; after a graver fault the job waits for the device to be opened again, once.
//! - No PKCS#11 call runs on a tokio worker: a hung device holds its own threads and nothing else.
//!
//! Beside the actor there is [`Administration`]: what an operator's commands do on a token (list its keys, make one, compare two
//! tokens' keys), in a process of their own that calls the device and waits.
//!
//! # Invariants
//! - A PIN that the token refuses is tried once; then this device rests until its configuration changes.
//! - No return code by itself makes the device fail: the health key settles on the same session whether the device, the key or the request
//!   is to blame. A key that the device rejects costs the other keys nothing.
//! - A device whose output is wrong (see `errors::Violation`) is not used until an operator acts: see `quarantine`.
//! - `unsafe` is in `ffi` only.

mod administration;
mod attributes;
mod blame;
mod census;
mod change;
mod codes;
mod device;
mod device_session;
mod errors;
mod events;
mod failure;
mod ffi;
mod gcm;
mod gcm_call;
mod health;
mod history;
mod job;
mod keeper;
mod key_failures;
mod key_looks;
mod key_object;
mod key_state;
mod keys;
mod last_check;
mod load;
mod metrics;
mod module;
mod objects;
mod owner;
mod probe;
mod profile;
mod proof;
mod proof_memory;
mod proof_report;
mod proofs;
mod quarantine;
mod queue;
mod rejections;
mod sealing;
mod settings;
mod shared;
mod slot;
mod structures;
mod submission;
mod supervisor;
mod threads;
mod token;
mod trust;
mod turns;
mod watch_list;
mod watched;

pub use administration::{
    Administration, AdministrationError, CreateKeyError, GcmFinding, KeyProtection, NewKey,
    OpenToken, TokenKey, TokenKeys,
};
pub use device::Hsm;
pub use metrics::{HsmMetrics, StateChange, StateWatcher};
pub use module::Modules;
pub use settings::{GcmProfile, HsmSettings, TokenSelector};
