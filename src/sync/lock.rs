//! Handling of poisoned locks, and a lock whose users a test can schedule.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::fatal;
#[cfg(test)]
use super::schedule;

/// A lock whose users the tests run in many orders: see `schedule`. In the program it is a [`Mutex`].
#[derive(Debug, Default)]
pub struct Lock<T>(Mutex<T>);

impl<T> Lock<T> {
    /// Creates a lock for this value.
    pub fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    /// Waits for the lock. Ends the process if a thread panicked while it held the lock.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        #[cfg(test)]
        schedule::until_free(&self.0);
        self.0.lock().unwrap_or_else(poisoned)
    }
}

/// Ends the process: the value of a poisoned lock may be half changed. Use it as `mutex.lock().unwrap_or_else(poisoned)`, also with
/// `RwLock` and `Condvar`.
pub fn poisoned<T>(_: PoisonError<T>) -> T {
    fatal::end("a lock was held during a panic; its value may be half changed")
}
