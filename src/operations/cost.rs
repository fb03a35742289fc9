//! The result of an operation, with its cost.

use std::sync::Arc;
use std::time::Duration;

use crate::ekm::Served;
use crate::xks::KeyVersion;

/// The result of an operation, with its cost for the access log and the metrics.
#[derive(Debug)]
pub struct Answer<T> {
    /// The response.
    pub value: T,
    /// The cost. That of GetHealthStatus is empty, because it uses no HSM.
    pub cost: Cost,
}

/// The use of HSMs by an operation.
#[derive(Clone, Debug, Default)]
pub struct Cost {
    /// The HSM that served the last job.
    pub device: Option<Arc<str>>,
    /// The time in the queue, of all jobs together.
    pub queued: Duration,
    /// The time in the HSM, of all jobs together.
    pub worked: Duration,
    /// The version of the key that was used.
    pub key_version: Option<KeyVersion>,
    /// True if the ciphertext is one of AWS's sample proxy.
    pub is_legacy: bool,
}

impl Cost {
    /// Creates an empty cost with this key version.
    pub(super) fn of_version(version: KeyVersion) -> Self {
        Self {
            key_version: Some(version),
            ..Self::default()
        }
    }

    /// Adds the cost of a job, and returns the job's value.
    pub(super) fn add<T>(&mut self, served: Served<T>) -> T {
        self.device = Some(served.device);
        self.queued += served.queued;
        self.worked += served.worked;
        served.value
    }
}
