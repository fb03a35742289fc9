//! Counts the HSM calls of a job, for the front.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use crate::clock::Deadline;
use crate::ekm::EncryptionCount;
use crate::hsm_protocol::Cost;

use crate::pkcs11::error_attribution::failure::Operation;

/// The counts of the current job of a session.
#[derive(Debug, Default)]
pub(in crate::pkcs11) struct Tally {
    encrypt_calls: AtomicU8,
    decrypt_calls: AtomicU8,
    describe_calls: AtomicU8,
    encryptions: AtomicU8,
}

impl Tally {
    /// Counts a call before it begins. Returns false if the deadline has passed: then the call must not begin.
    #[must_use = "a call that is not counted must not begin"]
    pub(in crate::pkcs11) fn begin(&self, operation: Operation, deadline: Deadline) -> bool {
        if deadline.has_passed() {
            return false;
        }
        let calls = match operation {
            Operation::Encrypt => &self.encrypt_calls,
            Operation::Decrypt => &self.decrypt_calls,
            Operation::Describe => &self.describe_calls,
        };
        add_one(calls);
        true
    }

    /// Returns the counts and resets them.
    pub(in crate::pkcs11) fn take(&self, worked: Duration) -> Cost {
        let take = |count: &AtomicU8| count.swap(0, Ordering::Relaxed);
        Cost {
            worked,
            encrypt_calls: take(&self.encrypt_calls),
            decrypt_calls: take(&self.decrypt_calls),
            describe_calls: take(&self.describe_calls),
            encryptions: take(&self.encryptions),
        }
    }
}

impl EncryptionCount for Tally {
    fn count(&self) {
        add_one(&self.encryptions);
    }
}

/// Adds one. The maximum is 255, far above the number of calls of a job.
fn add_one(count: &AtomicU8) {
    let now = count.load(Ordering::Relaxed);
    count.store(now.saturating_add(1), Ordering::Relaxed);
}
