//! The sessions of a worker. Each has a thread that does one job at a time.
//!
//! - [`device_session`] finds the key of a job, calls AES-GCM, and recovers a lost session or login.
//! - [`encryption`] encrypts and verifies the ciphertext.
//! - `device_session/attribution.rs` determines whether the HSM, the key or the request caused an error.
//! - [`tally`] counts the HSM calls of a job.
//!
//! It may import all other parts of [`crate::pkcs11`] except `health_monitor` and `administration`.

mod device_session;
mod encryption;
mod tally;

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use self::device_session::DeviceSession;
use self::tally::Tally;
use crate::clock::Deadline;
use crate::ekm::{CallCount, DecryptJob, DescribeJob, Digest, EncryptJob, KeySelector, Tenant};
use crate::hsm_protocol::{Answer, Failed, FromSession, Job, Outcome, Task};
use crate::pkcs11::error_attribution::failure::{Failure, Operation};
use crate::pkcs11::error_attribution::key_failures::RETRY_AFTER;
use crate::pkcs11::library::ffi::Session;
use crate::pkcs11::worker_state::WorkerState;
use crate::pkcs11::worker_state::connection::Connection;
use crate::sync::thread;

/// The channel on which one session gets its jobs.
pub trait JobChannel: Send + 'static {
    /// Waits for the next job. Returns `None` when the front has closed the session.
    fn next(&mut self) -> Option<Job>;

    /// Sends a frame to the front. It may be delayed until [`JobChannel::next`] waits. Returns false when the front has stopped reading.
    fn send(&mut self, frame: &FromSession) -> bool;
}

/// The tenant of all jobs in a worker: only the front distinguishes tenants.
static FRONT: LazyLock<Arc<Tenant>> = LazyLock::new(|| {
    let name = "front".into();
    Arc::new(Tenant { name, share: 1 })
});

/// Starts the thread of a session. When the channel ends, the thread closes the session and ends.
///
/// # Errors
/// When the operating system cannot start a thread.
pub(in crate::pkcs11) fn start(
    worker: &Arc<WorkerState>,
    connection: &Arc<Connection>,
    session: Session,
    mut channel: impl JobChannel,
) -> std::io::Result<()> {
    let device = DeviceSession::new(worker, Arc::clone(connection), session);
    let name = format!("hsm-{}", worker.settings.name);
    let started = thread(name, move || serve(device, &mut channel));
    started.map(drop)
}

fn serve(mut device: DeviceSession, channel: &mut impl JobChannel) {
    if !channel.send(&FromSession::Ready) {
        return;
    }
    while let Some(job) = channel.next() {
        let answer = FromSession::Answer(perform(&mut device, job));
        if !channel.send(&answer) {
            return;
        }
    }
}

fn perform(device: &mut DeviceSession, job: Job) -> Answer {
    let started = Instant::now();
    let operation = operation_of(&job.task);
    let outcome = match device.worker.rejection(operation, &job.key) {
        Some(failure) => Err(failure),
        None => attempt(device, &job),
    };
    if device.connection.keys.has_changed() {
        device.worker.wake();
    }
    if let Err(failure) = &outcome
        && failure.fatal
    {
        device.worker.report_fatal(failure.detail.clone());
    }
    // Only of this operation: an encryption may also fail because its verification fails.
    let lasts = match device.worker.key_failures.rejects(operation, &job.key) {
        true => RETRY_AFTER,
        false => Duration::ZERO,
    };
    Answer {
        id: job.id,
        cost: device.tally.take(started.elapsed()),
        outcome: outcome.unwrap_or_else(|failure| failed(failure, lasts)),
    }
}

fn operation_of(task: &Task) -> Operation {
    match task {
        Task::Encrypt { .. } => Operation::Encrypt,
        Task::Decrypt { .. } => Operation::Decrypt,
        Task::Describe => Operation::Describe,
    }
}

fn attempt(device: &mut DeviceSession, job: &Job) -> Result<Outcome, Failure> {
    let deadline = Deadline::after(job.budget);
    match &job.task {
        Task::Encrypt {
            plaintext,
            aad,
            must_decrypt,
            digest_prefix,
        } => {
            let job = EncryptJob {
                tenant: Arc::clone(&FRONT),
                key: Arc::clone(&job.key),
                plaintext: Arc::clone(plaintext),
                aad: aad.clone(),
                must_decrypt: *must_decrypt,
                digest: digest_prefix.clone().map(Digest::new),
                deadline,
                calls: CallCount::default(),
                encryptions: Arc::<Tally>::clone(&device.tally),
            };
            device.encrypt(&job).map(Outcome::Encrypted)
        }
        Task::Decrypt {
            iv,
            ciphertext,
            aad,
            or_aad,
        } => {
            let job = DecryptJob {
                tenant: Arc::clone(&FRONT),
                key: Arc::clone(&job.key),
                iv: *iv,
                ciphertext_and_tag: ciphertext.clone(),
                aad: aad.clone(),
                or_aad: or_aad.clone(),
                deadline,
                calls: CallCount::default(),
                encryptions: Arc::<Tally>::clone(&device.tally),
            };
            device.decrypt(&job).map(Outcome::Opened)
        }
        Task::Describe => describe(device, &job.key, deadline),
    }
}

fn describe(
    device: &mut DeviceSession,
    key: &Arc<KeySelector>,
    deadline: Deadline,
) -> Result<Outcome, Failure> {
    let job = DescribeJob {
        tenant: Arc::clone(&FRONT),
        key: Arc::clone(key),
        deadline,
        calls: CallCount::default(),
    };
    device.describe(&job).map(Outcome::Described)
}

fn failed(failure: Failure, lasts: Duration) -> Outcome {
    Outcome::Failed(Failed {
        fault: failure.fault,
        detail: failure.detail,
        is_fatal: failure.fatal,
        rejected_with: failure.rejected_with,
        lasts,
    })
}
