//! Keys that a worker has just rejected. Jobs for them fail without the queue, as long as the worker would reject them.
//!
//! # Invariants
//! - The worker decides how long a rejection lasts, at most [`LONGEST`]. Then the next job is sent to the worker.
//! - At most [`MAX_KEYS`] rejections are stored.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::ekm::KeySelector;
use crate::hsm::queue::job::Operation;
use crate::hsm_protocol::Failed;
use crate::sync::poisoned;

/// The longest duration of a rejection.
const LONGEST: Duration = Duration::from_secs(2);

/// The maximum number of stored rejections. Jobs for further keys are sent to the worker.
const MAX_KEYS: usize = 4_096;

/// The rejections of one HSM.
#[derive(Default)]
pub(in crate::hsm) struct RejectedKeys {
    /// The number of rejections. It is read without the lock, because most HSMs reject no key.
    len: AtomicUsize,
    keys: Mutex<HashMap<(Operation, KeySelector), (Instant, Failed)>>,
}

impl RejectedKeys {
    fn lock(&self) -> MutexGuard<'_, HashMap<(Operation, KeySelector), (Instant, Failed)>> {
        self.keys.lock().unwrap_or_else(poisoned)
    }

    /// Returns the failure of a job with this operation and key; `None` if the job must be sent.
    pub(in crate::hsm) fn of(&self, operation: Operation, key: &KeySelector) -> Option<Failed> {
        if self.len.load(Ordering::Acquire) == 0 {
            return None;
        }
        let mut keys = self.lock();
        let entry_key = (operation, key.clone());
        let (until, failed) = keys.get(&entry_key)?;
        if Instant::now() < *until {
            return Some(failed.clone());
        }
        keys.remove(&entry_key);
        self.len.store(keys.len(), Ordering::Release);
        None
    }

    /// Stores a failure, if the worker reported that it lasts.
    pub(in crate::hsm) fn learn(&self, operation: Operation, key: &KeySelector, failed: &Failed) {
        if failed.lasts.is_zero() {
            return;
        }
        let mut keys = self.lock();
        let now = Instant::now();
        if keys.len() >= MAX_KEYS {
            keys.retain(|_, (until, _)| *until > now);
        }
        if keys.len() < MAX_KEYS {
            let until = now + failed.lasts.min(LONGEST);
            keys.insert((operation, key.clone()), (until, failed.clone()));
        }
        self.len.store(keys.len(), Ordering::Release);
    }

    /// Deletes all rejections, because a different worker serves.
    pub(in crate::hsm) fn clear(&self) {
        let mut keys = self.lock();
        keys.clear();
        self.len.store(0, Ordering::Release);
    }
}
