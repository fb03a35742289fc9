//! Load that goes on beside a test until it is told to stop.

use std::sync::atomic::{AtomicBool, Ordering};

/// Stops the load when it is dropped, also when the test fails: threads that nobody stops would keep it from saying so.
pub struct Stop<'a>(pub &'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
