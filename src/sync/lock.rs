//! Locks that were held during a panic.

use std::sync::PoisonError;

use super::fatal;

/// Ends the process: what a poisoned lock protects may be half changed. For `mutex.lock().unwrap_or_else(poisoned)`, and the same with
/// `RwLock` and `Condvar`.
pub fn poisoned<T>(_: PoisonError<T>) -> T {
    fatal::end("a lock was held during a panic; what it protects may be half changed")
}
