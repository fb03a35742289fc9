//! Which jobs are let in: those that can be done in time, for a key that the device does not reject.

use std::time::Instant;

use cryptoki::object::ObjectHandle;

use super::blame;
use super::errors::CallError;
use super::failure::Operation;
use super::job::{Job, Work};
use super::key_failures::Rejection;
use super::shared::Shared;
use crate::ekm::{KeyManagerError, KeyManagerFault, KeySelector};

/// The share of the time left that is kept free when a job is let in: 1 / 8.
const MARGIN: u32 = 8;

impl Shared {
    /// Queues a job, or answers it at once with why not. A job that has to wait for longer than its deadline, as far as the
    /// device's mean service time can tell, is refused at once: a late answer helps nobody, and the job would only make others late.
    pub(super) fn submit(&self, work: Work) {
        let (operation, key) = work.subject();
        if let Some((rejection, unlogged)) =
            self.key_failures.reject(operation, key, Instant::now())
        {
            let error = self.rejected(operation, key, &rejection, unlogged);
            return work.fail(error);
        }
        let remaining = work.deadline().remaining();
        if remaining.is_zero() {
            return work
                .fail(self.error(KeyManagerFault::DeadlinePassed, "it was too late to ask"));
        }
        // The mean is a mean: some calls take longer.
        let budget = remaining - remaining / MARGIN;
        let job = Job {
            work,
            queued_at: Instant::now(),
            is_second_try: false,
        };
        // A job that nobody is ahead of always goes: a mean that has become too long must be able to recover.
        let in_time = |ahead: usize| ahead == 0 || self.load.expected_wait(ahead) < budget;
        if let Err((refused, job)) = self.queue.push(job, in_time) {
            job.work.fail(self.refusal(refused));
        }
    }

    /// The error of a job whose key was found to be rejected while the job was queued; none: the job is to be done.
    pub(super) fn rejection_of_queued(&self, job: &Job) -> Option<KeyManagerError> {
        let (operation, key) = job.work.subject();
        let rejected = self
            .key_failures
            .reject_queued(operation, key, job.queued_at);
        rejected.map(|(rejection, unlogged)| self.rejected(operation, key, &rejection, unlogged))
    }

    /// The error of a job that was let through for a rejected key and has met the same error; none: it must be settled.
    pub(super) fn rejection_again(
        &self,
        operation: Operation,
        key: &KeySelector,
        error: CallError,
    ) -> Option<KeyManagerError> {
        let now = Instant::now();
        let rejected = self.key_failures.reject_again(operation, key, error, now);
        rejected.map(|(rejection, unlogged)| self.rejected(operation, key, &rejection, unlogged))
    }

    /// Counts, logs and remembers that the device rejects a key.
    pub(super) fn add_rejection(
        &self,
        operation: Operation,
        key: &KeySelector,
        object: Option<ObjectHandle>,
        rejection: &Rejection,
    ) {
        let now = Instant::now();
        let failures = &self.key_failures;
        let unlogged = failures.add(operation, key, object, rejection.clone(), now);
        drop(self.rejected(operation, key, rejection, unlogged));
    }

    /// Notes that an operation has worked with a key.
    pub(super) fn note_success(&self, operation: Operation, key: &KeySelector) {
        if self.key_failures.remove(operation, key, Instant::now()) {
            let hsm = &self.settings.name;
            tracing::info!(%hsm, %key, ?operation, "the HSM accepts the key again");
        }
    }

    fn rejected(
        &self,
        operation: Operation,
        key: &KeySelector,
        rejection: &Rejection,
        unlogged: Option<u64>,
    ) -> KeyManagerError {
        self.metrics
            .count_key_failure(&blame::label(rejection.error));
        if let Some(unlogged) = unlogged {
            let (hsm, error) = (&self.settings.name, &rejection.detail);
            tracing::warn!(
                %hsm,
                %key,
                ?operation,
                %error,
                unlogged,
                "the HSM rejects a key; requests for this key fail, other keys are not affected"
            );
        }
        self.error(rejection.fault, rejection.detail.to_string())
    }
}
