//! A job of the front, until it is answered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::clock::Deadline;
use crate::ekm::{
    CallCount, DecryptJob, DescribeJob, EncryptJob, Encrypted, EncryptionCount, KeyAttributes,
    KeyManagerError, KeySelector, Opened, Served, TAG_LENGTH, Tenant,
};
use crate::hsm::metrics::DeviceMetrics;
use crate::hsm::queue::fair_queue::Waiting;
use crate::hsm_protocol::{self as protocol, Cost, Outcome, Task};

/// Where the answer of a job is sent.
pub(in crate::hsm) type Reply<T> = oneshot::Sender<Result<Served<T>, KeyManagerError>>;

/// The operation of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::hsm) enum Operation {
    Encrypt,
    Decrypt,
    Describe,
}

/// The operation of a job with its input, and where the answer is sent.
pub(in crate::hsm) enum Work {
    Encrypt(EncryptJob, Reply<Encrypted>),
    Decrypt(DecryptJob, Reply<Opened>),
    Describe(DescribeJob, Reply<KeyAttributes>),
}

/// A job that waits for a session or for its answer.
pub(in crate::hsm) struct Job {
    pub work: Work,
    pub queued_at: Instant,
    /// When it was last sent.
    pub sent_at: Instant,
    /// The number of calls that were counted when it was sent.
    counted: u32,
    /// True if a worker has died while it had this job. The job is sent at most twice.
    pub is_repetition: bool,
}

impl Job {
    pub(in crate::hsm) fn new(work: Work) -> Self {
        let now = Instant::now();
        Self {
            work,
            queued_at: now,
            sent_at: now,
            counted: 0,
            is_repetition: false,
        }
    }

    /// Returns the frame, if the caller still waits. Counts the minimum number of calls in advance, for the record of a request that ends
    /// before the answer.
    pub(in crate::hsm) fn begin(&mut self, id: u64, is_verified: bool) -> Option<Vec<u8>> {
        if self.is_abandoned() {
            return None;
        }
        let calls = match &self.work {
            Work::Encrypt(job, _) if is_verified || job.digest.is_some() => 2,
            _ => 1,
        };
        if !self.work.calls().begin(calls) {
            return None;
        }
        self.counted = calls;
        self.sent_at = Instant::now();
        Some(self.work.to_frame(id))
    }

    /// Reverts the count of a job that was not sent.
    pub(in crate::hsm) fn revert_count(&mut self) {
        self.work.calls().correct(self.counted, 0);
        self.counted = 0;
    }

    /// Counts what the job cost.
    pub(in crate::hsm) fn record_cost(&mut self, cost: Cost, metrics: &DeviceMetrics) {
        let by_operation = [
            (&metrics.encrypt, cost.encrypt_calls),
            (&metrics.decrypt, cost.decrypt_calls),
            (&metrics.describe, cost.describe_calls),
        ];
        let mut made = 0;
        for (operation_metrics, calls) in by_operation {
            if calls > 0 {
                operation_metrics.calls.inc_by(calls.into());
                made += u32::from(calls);
            }
        }
        self.work.calls().correct(self.counted, made);
        self.counted = 0;
        if let Some(encryptions) = self.work.encryptions() {
            (0..cost.encryptions).for_each(|_| encryptions.count());
        }
        let operation_metrics = match self.work.subject().0 {
            Operation::Encrypt => &metrics.encrypt,
            Operation::Decrypt => &metrics.decrypt,
            Operation::Describe => &metrics.describe,
        };
        operation_metrics.seconds.observe(cost.worked.as_secs_f64());
    }

    /// Counts a job whose worker died. It may have made the calls and a ciphertext.
    pub(in crate::hsm) fn count_lost(&mut self, metrics: &DeviceMetrics) {
        let operation_metrics = match self.work.subject().0 {
            Operation::Encrypt => &metrics.encrypt,
            Operation::Decrypt => &metrics.decrypt,
            Operation::Describe => &metrics.describe,
        };
        operation_metrics.calls.inc_by(self.counted.into());
        self.counted = 0;
        if let Work::Encrypt(job, _) = &self.work {
            job.encryptions.count();
        }
    }

    /// The time that it waited for a session.
    pub(in crate::hsm) fn queued(&self) -> Duration {
        self.sent_at.saturating_duration_since(self.queued_at)
    }

    /// Returns whether this job can have this outcome, by kind and length. This detects a worker that mixes up two jobs of different lengths.
    pub(in crate::hsm) fn fits(&self, outcome: &Outcome) -> bool {
        match (&self.work, outcome) {
            (_, Outcome::Failed(_)) | (Work::Describe(..), Outcome::Described(_)) => true,
            (Work::Decrypt(job, _), Outcome::Opened(opened)) => {
                opened.plaintext.len() + TAG_LENGTH == job.ciphertext_and_tag.len()
                    && (job.or_aad.is_some() || !opened.by_or_aad)
            }
            (Work::Encrypt(job, _), Outcome::Encrypted(sealed)) => {
                sealed.ciphertext.len() == job.plaintext.len()
                    && sealed.digest.is_some() == job.digest.is_some()
            }
            _ => false,
        }
    }

    /// Sends the value of a successful outcome. Has no effect if the caller has left.
    pub(in crate::hsm) fn answer(self, outcome: Outcome, device: &Arc<str>, worked: Duration) {
        let (device, queued) = (Arc::clone(device), self.queued());
        macro_rules! send {
            ($reply:expr, $value:expr) => {
                drop($reply.send(Ok(Served {
                    value: $value,
                    device,
                    queued,
                    worked,
                })))
            };
        }
        match (self.work, outcome) {
            (Work::Encrypt(_, reply), Outcome::Encrypted(value)) => send!(reply, value),
            (Work::Decrypt(_, reply), Outcome::Opened(value)) => send!(reply, value),
            (Work::Describe(_, reply), Outcome::Described(value)) => send!(reply, value),
            _ => {}
        }
    }
}

impl Work {
    /// The deadline of the caller.
    pub(in crate::hsm) fn deadline(&self) -> Deadline {
        match self {
            Self::Encrypt(job, _) => job.deadline,
            Self::Decrypt(job, _) => job.deadline,
            Self::Describe(job, _) => job.deadline,
        }
    }

    /// The operation and the key.
    pub(in crate::hsm) fn subject(&self) -> (Operation, &Arc<KeySelector>) {
        match self {
            Self::Encrypt(job, _) => (Operation::Encrypt, &job.key),
            Self::Decrypt(job, _) => (Operation::Decrypt, &job.key),
            Self::Describe(job, _) => (Operation::Describe, &job.key),
        }
    }

    fn tenant(&self) -> &Arc<Tenant> {
        match self {
            Self::Encrypt(job, _) => &job.tenant,
            Self::Decrypt(job, _) => &job.tenant,
            Self::Describe(job, _) => &job.tenant,
        }
    }

    fn calls(&self) -> &CallCount {
        match self {
            Self::Encrypt(job, _) => &job.calls,
            Self::Decrypt(job, _) => &job.calls,
            Self::Describe(job, _) => &job.calls,
        }
    }

    fn encryptions(&self) -> Option<&Arc<dyn EncryptionCount>> {
        match self {
            Self::Encrypt(job, _) => Some(&job.encryptions),
            Self::Decrypt(job, _) => Some(&job.encryptions),
            Self::Describe(..) => None,
        }
    }

    /// Sends an error. Has no effect if the caller has left.
    pub(in crate::hsm) fn fail(self, error: KeyManagerError) {
        match self {
            Self::Encrypt(_, reply) => drop(reply.send(Err(error))),
            Self::Decrypt(_, reply) => drop(reply.send(Err(error))),
            Self::Describe(_, reply) => drop(reply.send(Err(error))),
        }
    }

    fn caller_is_gone(&self) -> bool {
        match self {
            Self::Encrypt(_, reply) => reply.is_closed(),
            Self::Decrypt(_, reply) => reply.is_closed(),
            Self::Describe(_, reply) => reply.is_closed(),
        }
    }

    fn to_frame(&self, id: u64) -> Vec<u8> {
        let task = match self {
            Self::Encrypt(job, _) => Task::Encrypt {
                plaintext: Arc::clone(&job.plaintext),
                aad: job.aad.clone(),
                must_decrypt: job.must_decrypt,
                digest_prefix: job.digest.as_ref().map(|digest| digest.prefix().clone()),
            },
            Self::Decrypt(job, _) => Task::Decrypt {
                iv: job.iv,
                ciphertext: job.ciphertext_and_tag.clone(),
                aad: job.aad.clone(),
                or_aad: job.or_aad.clone(),
            },
            Self::Describe(..) => Task::Describe,
        };
        let (_, key) = self.subject();
        let job = protocol::Job {
            id,
            budget: self.deadline().remaining(),
            key: Arc::clone(key),
            task,
        };
        job.to_frame()
    }
}

impl Waiting for Job {
    fn tenant(&self) -> &Arc<Tenant> {
        self.work.tenant()
    }

    fn is_abandoned(&self) -> bool {
        self.work.caller_is_gone() || self.work.deadline().has_passed()
    }
}
