//! A job on its way to the device.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;

use super::failure::Operation;
use super::turns::Waiting;
use crate::clock::Deadline;
use crate::ekm::{
    DecryptJob, DescribeJob, EncryptJob, KeyAttributes, KeyManagerError, KeySelector, Opened,
    Sealed, Served, Tenant,
};

/// Where a job's answer goes.
pub(super) type Reply<T> = oneshot::Sender<Result<Served<T>, KeyManagerError>>;

/// What a job asks for.
pub(super) enum Work {
    Encrypt(EncryptJob, Reply<Sealed>),
    Decrypt(DecryptJob, Reply<Opened>),
    Describe(DescribeJob, Reply<KeyAttributes>),
}

/// A job in the queue.
pub(super) struct Job {
    pub work: Work,
    pub queued_at: Instant,
    /// Whether it has met a fatal fault before: it is tried once more, not for ever.
    pub is_second_try: bool,
}

impl Work {
    /// Until when somebody waits.
    pub(super) fn deadline(&self) -> Deadline {
        match self {
            Self::Encrypt(job, _) => job.deadline,
            Self::Decrypt(job, _) => job.deadline,
            Self::Describe(job, _) => job.deadline,
        }
    }

    /// What is asked for, with which key.
    pub(super) fn subject(&self) -> (Operation, &KeySelector) {
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

    /// Answers with an error. A caller that is gone does not mind.
    pub(super) fn fail(self, error: KeyManagerError) {
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
}

impl Waiting for Job {
    fn tenant(&self) -> &Arc<Tenant> {
        self.work.tenant()
    }

    fn is_abandoned(&self) -> bool {
        self.work.caller_is_gone() || self.work.deadline().has_passed()
    }
}
