//! Locks that were held during a panic, and locks that a test schedules.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::fatal;
#[cfg(test)]
use super::schedule;

/// A lock whose users the tests run in many orders: see `schedule`. In the program it is a [`Mutex`].
#[derive(Debug, Default)]
pub struct Lock<T>(Mutex<T>);

impl<T> Lock<T> {
    /// A lock around this value.
    pub fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    /// Waits for the value. Ends the process if a thread panicked with it.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        #[cfg(test)]
        schedule::until_free(&self.0);
        self.0.lock().unwrap_or_else(poisoned)
    }
}

/// Ends the process: what a poisoned lock protects may be half changed. For `mutex.lock().unwrap_or_else(poisoned)`, and the same with
/// `RwLock` and `Condvar`.
pub fn poisoned<T>(_: PoisonError<T>) -> T {
    fatal::end("a lock was held during a panic; what it protects may be half changed")
}
