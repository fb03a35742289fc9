//! The front's side of an HSM: a [`KeyManager`](crate::ekm::KeyManager) that passes jobs to worker processes. A worker calls the PKCS#11
//! library.
//!
//! ```text
//!  requests ── Job ──▶ pool ──▶ session ── frame ──▶ worker ──▶ HSM
//!                       ▲          │ answer, or the end of the worker
//!                       └──────────┘
//!  supervisor ── starts and retires ──▶ workers
//! ```
//!
//! - The **pool** assigns jobs to sessions, under one lock. Jobs wait only while all sessions are busy. A weighted fair queue orders the
//!   jobs of different tenants.
//! - A **session** is one socket to a worker. The task that submits a job or reads an answer sends the next job. No task
//!   dispatches jobs.
//! - The **supervisor** (one task per HSM) is a circuit breaker: Probing → Usable → Failed. When a worker fails or its settings change, it
//!   starts a new worker, which takes over.
//! - A job whose worker dies is sent a second time. A job is dropped before it is sent if its deadline has passed or its caller has left.
//!
//! # Invariants
//! - No PKCS#11 code runs in this process.
//! - An HSM whose output was wrong is not used until an operator acts: see `state/trust.rs`.
//!
//! # Lock order
//! A thread takes these locks only in this order:
//! 1. `HsmState::transition`, or the job table of one session. No thread holds both.
//! 2. The lock of the pool.
//! 3. `LoadEstimate::slots`.
//!
//! Under `transition`, these locks are also taken, one at a time: `LastCheck`, `RejectedKeys`, `WorkerView::health` and the state in
//! `DeviceMetrics`. Under the last one, the `StateWatcher` is called.
//! All other locks are taken alone.

mod device;
mod events;
mod launcher_client;
mod library_watch;
mod metrics;
mod queue;
mod state;
mod supervisor;
mod worker;

pub use device::Hsm;
pub use launcher_client::{StartedWorker, WorkerProcess, Workers};
pub use metrics::{HsmMetrics, StateChange, StateWatcher};

pub use crate::hsm_protocol::{
    Environment, GcmProfile, HsmSettings, PinError, PinFingerprint, PinReference, Pkcs11Settings,
    TokenSelector,
};
