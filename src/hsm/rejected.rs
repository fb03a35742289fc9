//! Keys that a worker has just rejected: jobs for them are answered without the queue for as long as the worker would reject them too.
//!
//! # Invariants
//! - Only what the worker says counts: a rejection lasts at most [`LONGEST`], then one job is asked again.
//! - Memory is bounded by [`MAX_KEYS`].

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::job::Operation;
use crate::ekm::KeySelector;
use crate::hsm_protocol::Failed;
use crate::sync::poisoned;

/// The longest time that a rejection is believed.
const LONGEST: Duration = Duration::from_secs(2);

/// The most rejections that are kept. A key beyond that is asked for, nothing else.
const MAX_KEYS: usize = 4_096;

/// The rejections of one HSM.
#[derive(Default)]
pub(super) struct Rejected {
    /// As many as there are; read without the lock, because most HSMs reject none.
    len: AtomicUsize,
    keys: Mutex<HashMap<(Operation, KeySelector), (Instant, Failed)>>,
}

impl Rejected {
    fn lock(&self) -> MutexGuard<'_, HashMap<(Operation, KeySelector), (Instant, Failed)>> {
        self.keys.lock().unwrap_or_else(poisoned)
    }

    /// How a job of this kind fails now; none: it is to be tried.
    pub(super) fn of(&self, operation: Operation, key: &KeySelector) -> Option<Failed> {
        if self.len.load(Ordering::Acquire) == 0 {
            return None;
        }
        let mut keys = self.lock();
        let of_key = (operation, key.clone());
        let (until, failed) = keys.get(&of_key)?;
        if Instant::now() < *until {
            return Some(failed.clone());
        }
        keys.remove(&of_key);
        self.len.store(keys.len(), Ordering::Release);
        None
    }

    /// The worker has rejected a key.
    pub(super) fn learn(&self, operation: Operation, key: &KeySelector, failed: &Failed) {
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

    /// Another worker serves.
    pub(super) fn clear(&self) {
        let mut keys = self.lock();
        keys.clear();
        self.len.store(0, Ordering::Release);
    }
}
