//! The front's side of an HSM: a [`KeyManager`](crate::ekm::KeyManager) whose PKCS#11 library runs in worker processes.
//!
//! ```text
//!  requests ── Job ──▶ pool ──▶ session ── frame ──▶ worker ──▶ HSM
//!                       ▲          │ answer, or the end of the worker
//!                       └──────────┘
//!  supervisor ── starts, takes over, retires ──▶ workers
//! ```
//!
//! - The **pool** assigns jobs to sessions, under one lock. Jobs wait only while every session is busy; tenants are served in turn.
//! - A **session** is one socket to a worker. The task that submits a job, or that reads an answer, sends the next job: there is no
//!   dispatcher.
//! - The **supervisor** (one task per HSM) is a circuit breaker: Probing → Usable → Failed. Whatever happens to a worker, another one is
//!   started and takes over.
//! - A job whose worker dies is sent once more. A job whose deadline has passed or whose caller is gone is dropped before it is sent.
//!
//! # Invariants
//! - No PKCS#11 code runs in this process.
//! - An HSM whose output is wrong is not used until an operator acts: see `trust`.
//! - Locks: `Shared::transition` before the lock of the pool; the table of a session before nothing. The pool's lock is a leaf.

mod channel;
mod crew;
mod device;
mod fair_queue;
mod job;
mod key_view;
mod last_check;
mod library_output;
mod library_watch;
mod life;
mod load_estimate;
mod log_relay;
mod metrics;
mod phase;
mod pool;
mod post;
mod proofs;
mod rejected;
mod session;
mod shared;
mod submission;
mod supervisor;
mod trust;
mod workers;

pub use device::Hsm;
pub use metrics::{HsmMetrics, StateChange, StateWatcher};
pub use workers::{StartedWorker, WorkerProcess, Workers};

pub use crate::hsm_protocol::{
    Environment, GcmProfile, HsmSettings, PinError, PinFingerprint, PinReference, Pkcs11Settings,
    TokenSelector,
};
